//! Random histories against a plain model, with clean restarts and power cuts at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use mainstay_wal::storage::PowerCut;
use mainstay_wal::{Done, Entry, EntryId, Options, Wal};
use proptest::prelude::*;
use tempfile::tempdir;

use crate::support::{all, entries, id, options, wait};

#[derive(Clone, Debug)]
enum Step {
    Append {
        count: u64,
        len: usize,
    },
    NewTerm,
    /// How many of the live entries to keep, per cent.
    Truncate(u64),
    TruncateAll,
    /// How many of the live entries to drop, per cent; above 100 goes beyond the end.
    Purge(u64),
    Vote(u8),
    Hint(u8),
    /// Waits for everything queued.
    Settle,
    Restart,
    /// Cuts the power; each piece of an unsynced write survives by a bit of the number.
    Cut(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..6u64, 0..3000usize).prop_map(|(count, len)| Step::Append { count, len }),
        1 => (1..3u64, 0..20_000usize).prop_map(|(count, len)| Step::Append { count, len }),
        2 => Just(Step::NewTerm),
        2 => (0..100u64).prop_map(Step::Truncate),
        1 => Just(Step::TruncateAll),
        3 => (0..110u64).prop_map(Step::Purge),
        2 => any::<u8>().prop_map(Step::Vote),
        2 => any::<u8>().prop_map(Step::Hint),
        3 => Just(Step::Settle),
        1 => Just(Step::Restart),
        2 => any::<u64>().prop_map(Step::Cut),
    ]
}

/// What the log must hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: Vec<Entry>,
    purged: Option<EntryId>,
    vote: Option<Bytes>,
}

impl Model {
    fn of(wal: &Wal) -> Self {
        let state = wal.state();
        Self {
            entries: all(wal),
            purged: state.purged,
            vote: state.vote,
        }
    }

    fn next(&self) -> u64 {
        let last = self.entries.last().map(|entry| entry.id).or(self.purged);
        last.map_or(0, |last| last.index + 1)
    }
}

struct Run {
    wal: Option<Wal>,
    power: PowerCut,
    options: Options,
    term: u64,
    /// The model after each change since the last restart; the first is the one found there.
    history: Vec<Model>,
    /// How many of those changes are acknowledged.
    acknowledged: Arc<AtomicUsize>,
}

impl Run {
    fn open(&mut self) {
        self.power = PowerCut::new();
        self.options.storage = Arc::new(self.power.clone());
        self.wal = Some(Wal::open(self.options.clone()).unwrap());
        self.acknowledged = Arc::new(AtomicUsize::new(0));
    }

    fn wal(&self) -> &Wal {
        self.wal.as_ref().unwrap()
    }

    fn model(&self) -> &Model {
        self.history.last().unwrap()
    }

    /// Notes a change and returns its callback.
    fn change(&mut self, edit: impl FnOnce(&mut Model)) -> Done {
        let mut model = self.model().clone();
        edit(&mut model);
        self.history.push(model);
        let (number, acknowledged) = (self.history.len() - 1, Arc::clone(&self.acknowledged));
        Box::new(move |result| {
            if result.is_ok() {
                assert_eq!(acknowledged.swap(number, Ordering::SeqCst), number - 1);
            }
        })
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append { count, len } => {
                let next = self.model().next();
                let new = entries(self.term, next..next + count, *len);
                let done = self.change(|model| model.entries.extend(new.clone()));
                self.wal().append(new, done).unwrap();
            }
            Step::NewTerm => self.term += 1,
            Step::Truncate(percent) => {
                let live = self.model().entries.len() as u64;
                let keep = live * percent / 100;
                if keep == 0 {
                    return;
                }
                let after = self.model().entries[keep as usize - 1].id.index;
                let done = self.change(|model| model.entries.truncate(keep as usize));
                self.wal().truncate_after(Some(after), done).unwrap();
            }
            Step::TruncateAll => {
                let done = self.change(|model| model.entries.clear());
                self.wal().truncate_after(None, done).unwrap();
            }
            Step::Purge(percent) => self.purge(*percent),
            Step::Vote(vote) => {
                let vote = Bytes::from(vec![*vote; 9]);
                let done = self.change(|model| model.vote = Some(vote.clone()));
                self.wal().save_vote(vote, done).unwrap();
            }
            Step::Hint(hint) => self.wal().save_committed(Bytes::from(vec![*hint])).unwrap(),
            Step::Settle => self.settle(),
            Step::Restart => {
                self.wal.take().unwrap().close();
                self.open();
                let found = Model::of(self.wal());
                assert_eq!(&found, self.model(), "after a clean restart");
                self.history = vec![found];
            }
            Step::Cut(bits) => self.cut(*bits),
        }
        assert_eq!(
            &Model::of(self.wal()),
            self.model(),
            "what readers see after {step:?}"
        );
    }

    fn purge(&mut self, percent: u64) {
        let live = self.model().entries.len() as u64;
        let gone = (live * percent / 100).max(1);
        let upto = match self.model().entries.get(gone as usize - 1) {
            Some(entry) => entry.id,
            None => id(self.term, self.model().next() + gone),
        };
        let done = self.change(|model| {
            model.entries.retain(|entry| entry.id.index > upto.index);
            model.purged = Some(upto);
        });
        self.wal().purge(upto, done).unwrap();
    }

    fn settle(&mut self) {
        let wal = self.wal.clone().unwrap();
        wait(|done| wal.append(Vec::new(), done)).unwrap();
        assert_eq!(
            self.acknowledged.load(Ordering::SeqCst),
            self.history.len() - 1
        );
    }

    /// After a cut the log is what it was after some change, and no acknowledged one is missing.
    fn cut(&mut self, mut bits: u64) {
        self.power.cut_keeping(512, |_| {
            bits = bits.rotate_right(1);
            bits & 1 == 1
        });
        self.wal = None;
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        self.open();
        let found = Model::of(self.wal());
        let fits = self
            .history
            .iter()
            .skip(acknowledged)
            .any(|model| *model == found);
        assert!(
            fits,
            "acknowledged {acknowledged}: found {found:?} after {:?}",
            self.history
        );
        self.history = vec![found];
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_the_model_through_restarts_and_power_cuts(
        steps in prop::collection::vec(step(), 1..60),
        tail in prop_oneof![Just(0usize), 0..20_000usize],
        segment in 16_384..100_000u64,
        prepare in any::<bool>(),
    ) {
        let dir = tempdir().unwrap();
        let options = Options {
            tail_bytes_max: tail, segment_bytes: segment, prepare, ..options(dir.path())
        };
        let mut run = Run {
            wal: None,
            power: PowerCut::new(),
            options,
            term: 1,
            history: vec![Model::default()],
            acknowledged: Arc::default(),
        };
        run.open();
        for step in &steps {
            run.step(step);
        }
    }
}
