//! Random creates, cancels, commits, slow pulls and compactions against a replay of history.

use std::collections::BTreeMap;

use mainstay_mvcc::Change;
use mainstay_proto::{
    etcdserverpb::{WatchCreateRequest, WatchResponse},
    mvccpb::Event,
};
use proptest::prelude::*;

use crate::support::{Client, World, options, revision};

#[derive(Debug, Clone)]
enum Step {
    /// Revisions of one commit; each a list of keys, to put or to delete.
    Commit(Vec<Vec<(u8, bool)>>),
    Create {
        from: u8,
        len: u8,
        back: i64,
        prev_kv: bool,
        fragment: bool,
        filter: u8,
    },
    Cancel(usize),
    Progress,
    /// Pull so many responses.
    Pull(usize),
    Compact(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let revision = prop::collection::btree_map(0u8..6, any::<bool>(), 1..4);
    let revision = revision.prop_map(|keys| keys.into_iter().collect());
    prop_oneof![
        6 => prop::collection::vec(revision, 1..5).prop_map(Step::Commit),
        3 => (0u8..6, 0u8..4, -2i64..12, any::<bool>(), any::<bool>(), 0u8..6).prop_map(
            |(from, len, back, prev_kv, fragment, filter)| {
                Step::Create { from, len, back, prev_kv, fragment, filter }
            }
        ),
        1 => (0usize..8).prop_map(Step::Cancel),
        1 => Just(Step::Progress),
        3 => (0usize..6).prop_map(Step::Pull),
        1 => (0i64..6).prop_map(Step::Compact),
    ]
}

/// A watch as the client knows it.
struct Watch {
    request: WatchCreateRequest,
    from: i64,
    /// Every event before this revision has been received.
    next: i64,
    header: i64,
    /// Events of a response not complete yet.
    partial: Vec<Event>,
}

struct Run {
    world: World,
    client: Client,
    watches: BTreeMap<i64, Watch>,
    next_id: i64,
}

fn name(key: u8) -> String {
    format!("k{key}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn watches_replay_history(
        ring in prop_oneof![Just(0usize), Just(1500), Just(1 << 20)],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut options = options();
            options.ring_bytes_max = ring;
            options.fragment_bytes_max = 120;
            let world = World::new(options);
            let client = Client::new(&world);
            let mut run = Run { world, client, watches: BTreeMap::new(), next_id: 1 };
            for step in steps {
                run.step(step).await;
            }
            run.settle().await;
        });
    }
}

impl Run {
    async fn step(&mut self, step: Step) {
        match step {
            Step::Commit(revisions) => self.commit(&revisions),
            Step::Create {
                from,
                len,
                back,
                prev_kv,
                fragment,
                filter,
            } => {
                let mut request = WatchCreateRequest {
                    key: name(from).into(),
                    prev_kv,
                    fragment,
                    watch_id: self.next_id,
                    ..WatchCreateRequest::default()
                };
                if len > 0 {
                    request.range_end = name(from + len).into();
                }
                if filter < 2 {
                    request.filters.push(filter.into());
                }
                if back >= 0 {
                    request.start_revision = (self.world.store.revision() + 3 - back).max(1);
                }
                self.create(request).await;
            }
            Step::Cancel(at) => {
                let id = self.watches.keys().nth(at).copied();
                if let Some(id) = id {
                    self.client.control.cancel(id).await.expect("open");
                    self.pull_until(|response| response.watch_id == id && response.canceled)
                        .await;
                }
            }
            // Answers are optional; `receive` checks those that come.
            Step::Progress => self.client.control.progress().await.expect("open"),
            Step::Pull(count) => {
                for _ in 0..count {
                    let patience = std::time::Duration::from_millis(2);
                    let Some(response) = self.client.quiet(patience).await else {
                        break;
                    };
                    self.receive(&response);
                }
            }
            Step::Compact(back) => {
                let to = self.world.store.revision() - back;
                if to > self.world.store.compact_revision().max(1) {
                    self.world.compact(to);
                }
            }
        }
    }

    fn commit(&mut self, revisions: &[Vec<(u8, bool)>]) {
        let named: Vec<Vec<(String, bool)>> = revisions
            .iter()
            .map(|writes| writes.iter().map(|(key, put)| (name(*key), *put)).collect())
            .collect();
        let revisions: Vec<Vec<(&str, Option<&str>)>> = named
            .iter()
            .map(|writes| {
                writes
                    .iter()
                    .map(|(k, put)| (k.as_str(), put.then_some("v")))
                    .collect()
            })
            .collect();
        self.world.commit(&revisions);
    }

    async fn create(&mut self, request: WatchCreateRequest) {
        let id = self.next_id;
        self.next_id += 1;
        self.client.create(request.clone()).await;
        let created = self
            .pull_until(|response| response.watch_id == id && response.created)
            .await;
        let header = revision(&created);
        assert_eq!(header, self.world.store.revision());
        let from = if request.start_revision == 0 {
            header + 1
        } else {
            request.start_revision
        };
        let watch = Watch {
            request,
            from,
            next: from,
            header,
            partial: Vec::new(),
        };
        self.watches.insert(id, watch);
    }

    async fn pull_until(&mut self, found: impl Fn(&WatchResponse) -> bool) -> WatchResponse {
        loop {
            let response = self.client.next().await;
            if found(&response) {
                if response.canceled {
                    self.receive(&response);
                }
                return response;
            }
            self.receive(&response);
        }
    }

    /// Checks a response against history.
    fn receive(&mut self, response: &WatchResponse) {
        let id = response.watch_id;
        if id == -1 {
            assert!(!self.watches.is_empty());
            for id in self.watches.keys().copied().collect::<Vec<_>>() {
                self.complete(id, revision(response));
            }
            return;
        }
        if response.canceled {
            let watch = self.watches.remove(&id).expect("a watch that exists");
            if response.compact_revision > 0 {
                assert_eq!(revision(response), 0);
                assert!(watch.next < response.compact_revision);
            }
            return;
        }
        let changes = &self.world.changes;
        let watch = self.watches.get_mut(&id).expect("a watch that exists");
        assert!(!response.events.is_empty());
        assert!(revision(response) >= watch.header, "a header goes back");
        watch.header = revision(response);
        watch.partial.extend(response.events.iter().cloned());
        if response.fragment {
            assert!(watch.request.fragment);
            return;
        }
        let events = std::mem::take(&mut watch.partial);
        let last = events
            .last()
            .and_then(|e| e.kv.as_ref())
            .expect("an event")
            .mod_revision;
        assert!(last <= revision(response));
        let expected = expected(changes, watch, last);
        assert_eq!(events.len(), expected.len(), "of {:?}", watch.request);
        for (event, change) in events.iter().zip(expected) {
            check(event, change, watch, self.world.store.compact_revision());
        }
        watch.next = last + 1;
    }

    /// A watch has been told that it has everything up to `revision`.
    fn complete(&mut self, id: i64, revision: i64) {
        let watch = self.watches.get_mut(&id).expect("a watch that exists");
        assert!(watch.partial.is_empty(), "progress between fragments");
        let missed = expected(&self.world.changes, watch, revision);
        assert!(missed.is_empty(), "progress overtook {missed:?}");
        watch.next = watch.next.max(revision + 1);
    }

    fn is_complete(&self, revision: i64) -> bool {
        let changes = &self.world.changes;
        let mut watches = self.watches.values();
        watches.all(|watch| expected(changes, watch, revision).is_empty())
            && self.world.hub.stats().slow_watchers == 0
    }

    /// In the end every watch has everything, or was canceled as compacted.
    async fn settle(&mut self) {
        let begin = std::time::Instant::now();
        let now = self.world.store.revision();
        // A while without a response is a moment to look, not a proof that nothing comes.
        while begin.elapsed() < PATIENCE {
            match self.client.quiet(LOOK).await {
                Some(response) => self.receive(&response),
                None if self.is_complete(now) => break,
                None => {}
            }
        }
        for id in self.watches.keys().copied().collect::<Vec<_>>() {
            self.complete(id, now);
        }
        assert_eq!(self.world.hub.stats().pending_events, 0);
        assert_eq!(self.world.hub.stats().slow_watchers, 0);
        assert_eq!(self.world.hub.stats().watchers, self.watches.len() as u64);
    }
}

/// Between two looks at whether everything has come, and the longest that may take.
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// What the watch should be handed between what it has and `to`.
fn expected<'a>(changes: &'a [Change], watch: &Watch, to: i64) -> Vec<&'a Change> {
    let request = &watch.request;
    let inside = |change: &&Change| {
        let key = &change.kv.key;
        let scope = match request.range_end.is_empty() {
            true => *key == request.key,
            false => *key >= request.key && *key < request.range_end,
        };
        let filtered = request.filters.contains(&i32::from(change.delete));
        let from = watch.next.max(watch.from);
        scope && !filtered && (from..=to).contains(&change.revision)
    };
    changes.iter().filter(inside).collect()
}

fn check(event: &Event, change: &Change, watch: &Watch, compacted: i64) {
    assert_eq!(event.kv.as_ref(), Some(&change.kv));
    assert_eq!(event.r#type == 1, change.delete);
    // A record before that was compacted may be missing, one that was not may not.
    let may_be_gone = change.revision <= compacted && event.prev_kv.is_none();
    if !watch.request.prev_kv {
        assert_eq!(event.prev_kv, None);
    } else if !may_be_gone {
        assert_eq!(event.prev_kv, change.prev);
    }
}
