//! The store against the plain one: every read, at every revision, after every kind of step.

#[path = "support/plain.rs"]
mod plain;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use mainstay_mvcc::{Batch, Error, Options, Store, View, Writer};
use mainstay_proto::{etcdserverpb::RangeRequest, mvccpb::KeyValue};
use plain::{Plain, Refused, inside};
use proptest::{collection::vec, prelude::*};

#[derive(Debug, Clone)]
enum Op {
    Put {
        key: u8,
        value: u16,
        lease: i64,
    },
    Delete {
        from: u8,
        to: u8,
    },
    /// Leaves the mutation without finishing it.
    Abandon,
}

#[derive(Debug, Clone)]
enum Step {
    /// Mutations of one commit, each a list of writes.
    Commit(Vec<Vec<Op>>),
    /// To a revision this many percent of the way from the compact one to the latest.
    Compact(u8),
    WaitCompacted,
    CopyIndex,
    Flush,
    Reopen,
    /// Opens a copy of the directory: what was not flushed is lost.
    Crash,
}

fn op(keys: u8) -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..keys, any::<u16>(), prop_oneof![3 => Just(0i64), 1 => 1..5i64])
            .prop_map(|(key, value, lease)| Op::Put { key, value, lease }),
        3 => (0..keys, 0..keys).prop_map(|(from, to)| Op::Delete { from, to }),
        1 => Just(Op::Abandon),
    ]
}

fn step(keys: u8) -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => vec(vec(op(keys), 1..4), 1..8).prop_map(Step::Commit),
        4 => (0..=100u8).prop_map(Step::Compact),
        1 => Just(Step::WaitCompacted),
        3 => Just(Step::CopyIndex),
        2 => Just(Step::Flush),
        3 => Just(Step::Reopen),
        3 => Just(Step::Crash),
    ]
}

fn key(number: u8) -> Vec<u8> {
    format!("k{}{number:03}", "/x".repeat(usize::from(number % 3))).into_bytes()
}

/// A request at any revision, also at ones that are refused.
fn request() -> impl Strategy<Value = (RangeRequest, u8)> {
    let bounds = (
        any::<u8>(),
        prop_oneof![Just(None), any::<u8>().prop_map(Some)],
        0..8u8,
    );
    let sort = (0..3i32, 0..5i32, 0..6i64, any::<bool>(), 0..8u8);
    let filters = vec(prop_oneof![3 => Just(0i64), 1 => 1..60i64], 4);
    (bounds, sort, filters, 0..=120u8).prop_map(|((from, end, shape), sort, filters, at)| {
        let (sort_order, sort_target, limit, keys_only, counting) = sort;
        let range_end = match (shape, end) {
            (0, _) => vec![0],
            (_, Some(end)) => key(end % 24),
            (_, None) => Vec::new(),
        };
        let request = RangeRequest {
            key: if shape < 2 {
                vec![0].into()
            } else {
                key(from % 24).into()
            },
            range_end: range_end.into(),
            limit,
            sort_order,
            sort_target,
            keys_only,
            count_only: counting == 0,
            min_mod_revision: filters[0],
            max_mod_revision: filters[1],
            min_create_revision: filters[2],
            max_create_revision: filters[3],
            ..RangeRequest::default()
        };
        (request, at)
    })
}

struct World {
    dir: tempfile::TempDir,
    open: Option<(Store, Writer)>,
    plain: Plain,
    /// The plain store as of each commit, by what the commit said it was made of.
    commits: HashMap<Bytes, Plain>,
    copies: usize,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let open = Some(Store::open(options(&dir.path().join("0"))).unwrap());
        let commits = HashMap::from([(Bytes::new(), Plain::default())]);
        World {
            dir,
            open,
            plain: Plain::default(),
            commits,
            copies: 0,
        }
    }

    fn store(&self) -> &Store {
        &self.open.as_ref().unwrap().0
    }

    fn commit(&mut self, work: impl FnOnce(&mut Batch<'_>, &mut Plain)) {
        let applied = Bytes::from(self.commits.len().to_string());
        let (_, writer) = self.open.as_mut().unwrap();
        let before = self.plain.revision;
        let mut batch = writer.begin();
        work(&mut batch, &mut self.plain);
        assert_eq!(batch.revision(), self.plain.revision);
        let logical = batch.logical_bytes();
        let changes = batch.commit(applied.clone()).unwrap();
        assert_eq!(logical, self.plain.logical_bytes());
        let mut expected = self.plain.history(before + 1, i64::MAX);
        let got: Vec<_> = changes
            .into_iter()
            .map(|c| (c.revision, c.sub, c.delete, c.kv))
            .collect();
        // A compaction in the same commit may have taken some of them from the plain store.
        expected.retain(|c| c.revision > self.plain.compact);
        let expected: Vec<_> = expected
            .into_iter()
            .map(|c| (c.revision, c.sub, c.delete, c.kv))
            .collect();
        let compact = self.plain.compact;
        let got: Vec<_> = got.into_iter().filter(|c| c.0 > compact).collect();
        assert_eq!(got, expected);
        assert_eq!(self.store().applied().unwrap(), Some(applied.clone()));
        self.commits.insert(applied, self.plain.clone());
    }

    fn take(&mut self, step: &Step, requests: &[(RangeRequest, u8)]) {
        match step {
            Step::Commit(mutations) => self.commit(|batch, plain| {
                for ops in mutations {
                    mutate(batch, plain, ops);
                    let (request, at) = &requests[ops.len() % requests.len()];
                    let request = placed(request, *at, plain);
                    check_range(plain, &request, batch.range(&request));
                }
            }),
            Step::Compact(percent) => {
                let (from, to) = (self.plain.compact, self.plain.revision);
                let revision = from + (to - from) * i64::from(*percent) / 100;
                self.commit(|batch, plain| {
                    assert!(matches!(batch.compact(to + 1), Err(Error::FutureRevision)));
                    match batch.compact(revision) {
                        Ok(()) => plain.compact(revision),
                        Err(Error::Compacted) => assert_eq!(revision, from),
                        Err(other) => panic!("{other}"),
                    }
                });
            }
            Step::WaitCompacted => self.store().wait_compacted(self.plain.compact).unwrap(),
            Step::CopyIndex => self.store().checkpoint_index().unwrap(),
            Step::Flush => {
                self.store().flush().unwrap();
                let store = self.store();
                assert_eq!(store.flushed_applied().unwrap(), store.applied().unwrap());
            }
            Step::Reopen => {
                let dir = self.path();
                self.open = None;
                self.open = Some(Store::open(options(&dir)).unwrap());
            }
            Step::Crash => self.crash(),
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join(self.copies.to_string())
    }

    fn crash(&mut self) {
        let from = self.path();
        self.copies += 1;
        copy(&from, &self.path());
        self.open = None;
        self.open = Some(Store::open(options(&self.path())).unwrap());
        let applied = self.store().applied().unwrap().unwrap_or_default();
        assert_eq!(
            self.store().flushed_applied().unwrap().unwrap_or_default(),
            applied
        );
        self.plain = self.commits[&applied].clone();
    }

    fn check(&self, requests: &[(RangeRequest, u8)]) {
        let (store, plain) = (self.store(), &self.plain);
        assert_eq!(store.revision(), plain.revision);
        assert_eq!(store.compact_revision(), plain.compact);
        assert_eq!(store.size().logical_bytes, plain.logical_bytes());
        for (request, at) in requests {
            let request = placed(request, *at, plain);
            check_range(plain, &request, store.range(&request));
            self.check_view(&request);
        }
        let alive = plain.at(plain.revision);
        assert_eq!(store.stats().keys, alive.len() as i64);
        let leased: Vec<_> = alive.iter().filter(|(_, kv)| kv.lease != 0).collect();
        let leased: Vec<_> = leased
            .iter()
            .map(|(k, kv)| (kv.lease, Bytes::from((*k).clone())))
            .collect();
        assert_eq!(store.leased_keys(), leased);
        for number in 0..24 {
            let meta = store
                .key_meta(&key(number))
                .map(|m| (m.create_revision, m.mod_revision, m.version, m.lease));
            let kv = alive.get(&key(number));
            assert_eq!(
                meta,
                kv.map(|kv| (kv.create_revision, kv.mod_revision, kv.version, kv.lease))
            );
        }
        self.check_history();
        let middle = plain.compact.max(1) + (plain.revision - plain.compact.max(1)) / 2;
        for revision in [plain.revision, middle] {
            let hash = store.hash_kv(revision).unwrap();
            // A hash that a compaction left answers with the compact revision before it.
            if hash.compact_revision == plain.compact {
                assert_eq!(hash, plain.hash(revision));
            }
        }
    }

    fn check_view(&self, request: &RangeRequest) {
        let Ok(view) = self.store().pin(request.revision) else {
            return;
        };
        let (mut from, mut seen) = (request.key.clone(), Vec::new());
        let limit = 1 + request.limit as usize;
        loop {
            let chunk = view
                .range_chunk(&from, &request.range_end, limit, false)
                .unwrap();
            let more = chunk.len() == limit && !request.range_end.is_empty();
            from = chunk
                .last()
                .map(|kv| View::after(&kv.key))
                .unwrap_or_default();
            seen.extend(chunk);
            if !more {
                break;
            }
        }
        let mut expected: Vec<KeyValue> = self.plain.at(view.revision()).into_values().collect();
        expected.retain(|kv| inside(&kv.key, &request.key, &request.range_end));
        assert_eq!(seen, expected);
        let count = view.count(&request.key, &request.range_end).unwrap();
        assert_eq!(count, expected.len() as i64);
    }

    fn check_history(&self) {
        let (store, plain) = (self.store(), &self.plain);
        let from = plain.compact.max(0);
        assert!(
            plain.compact <= 0
                || matches!(
                    store.history(plain.compact - 1, i64::MAX, usize::MAX, true),
                    Err(Error::Compacted)
                )
        );
        let expected = plain.history(from, i64::MAX);
        assert_eq!(
            store.history(from, i64::MAX, usize::MAX, true).unwrap(),
            expected
        );
        let (mut next, mut seen) = (from, Vec::new());
        loop {
            let some = store.history(next, plain.revision, 20, false).unwrap();
            let Some(last) = some.last() else { break };
            next = last.revision + 1;
            seen.extend(some.into_iter().map(|c| (c.revision, c.sub)));
        }
        let expected: Vec<_> = expected.into_iter().map(|c| (c.revision, c.sub)).collect();
        assert_eq!(seen, expected);
    }
}

fn options(dir: &Path) -> Options {
    Options::new(dir)
}

/// Copies a directory as it is at one moment: if the background changed a file meanwhile, the copy
/// mixes two moments, which no crash does, and is made anew.
fn copy(from: &Path, to: &Path) {
    loop {
        let before = listing(from);
        let copied = before.iter().all(|(path, _)| {
            let target = to.join(path.strip_prefix(from).unwrap());
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(path, target).is_ok()
        });
        if copied && listing(from) == before {
            return;
        }
        fs::remove_dir_all(to).unwrap();
    }
}

/// All files below a directory with their sizes.
fn listing(dir: &Path) -> BTreeMap<PathBuf, u64> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => files.extend(listing(&path)),
            Ok(meta) => drop(files.insert(path, meta.len())),
            // Gone since it was listed.
            Err(_) => drop(files.insert(path, u64::MAX)),
        }
    }
    files
}

fn mutate(batch: &mut Batch<'_>, plain: &mut Plain, ops: &[Op]) {
    let (main, mut sub) = (plain.revision + 1, 0);
    let (before, mut touched) = (plain.clone(), Vec::new());
    let mut mutation = batch.mutate();
    for op in ops {
        match op {
            // A txn that touches a key twice is refused before it comes here.
            Op::Put { key: k, .. } if touched.contains(&key(*k)) => {}
            Op::Put {
                key: k,
                value,
                lease,
            } => {
                let value = "v".repeat(usize::from(value % 40)) + &value.to_string();
                let prev = mutation
                    .put(&key(*k), value.clone().into(), *lease, true)
                    .unwrap();
                assert_eq!(prev, plain.alive(&key(*k)));
                plain.put(main, sub, &key(*k), value.as_bytes(), *lease);
                touched.push(key(*k));
                sub += 1;
            }
            Op::Delete { from, to } => {
                let (from, to) = (key(*from), key(*to));
                let doomed: Vec<_> = plain.at(main).into_values().collect();
                let doomed: Vec<_> = doomed
                    .into_iter()
                    .filter(|kv| inside(&kv.key, &from, &to))
                    .collect();
                if doomed.iter().any(|kv| touched.contains(&kv.key.to_vec())) {
                    continue;
                }
                assert_eq!(mutation.delete_range(&from, &to, true).unwrap(), doomed);
                for kv in doomed {
                    plain.delete(main, sub, &kv.key);
                    touched.push(kv.key.to_vec());
                    sub += 1;
                }
            }
            Op::Abandon => {
                drop(mutation);
                *plain = before;
                return;
            }
        }
        let all = RangeRequest {
            key: vec![0].into(),
            range_end: vec![0].into(),
            ..Default::default()
        };
        let seen = mutation.range(&all).unwrap();
        assert_eq!(seen.kvs, plain.at(main).into_values().collect::<Vec<_>>());
        assert_eq!(
            mutation.current_revision(),
            if sub > 0 { main } else { main - 1 }
        );
    }
    plain.revision = if sub > 0 { main } else { main - 1 };
    assert_eq!(mutation.finish(), plain.revision);
}

/// The request at a revision that far between a little below the compact revision and the future.
fn placed(request: &RangeRequest, at: u8, plain: &Plain) -> RangeRequest {
    let (low, high) = (plain.compact - 2, plain.revision + 2);
    let revision = if at > 100 {
        0
    } else {
        low + (high - low) * i64::from(at) / 100
    };
    RangeRequest {
        revision,
        ..request.clone()
    }
}

fn check_range(
    plain: &Plain,
    request: &RangeRequest,
    got: Result<mainstay_mvcc::RangeResult, Error>,
) {
    match (plain.range(request), got) {
        (Ok((kvs, count, more)), Ok(got)) => {
            assert_eq!(got.kvs, kvs, "{request:?}");
            assert_eq!((got.count, got.more), (count, more), "{request:?}");
            assert_eq!(got.revision, plain.revision);
        }
        (Err(Refused::Compacted), Err(Error::Compacted)) => {}
        (Err(Refused::Future), Err(Error::FutureRevision)) => {}
        (expected, got) => panic!("{request:?}: expected {expected:?}, got {got:?}"),
    }
}

fn run(steps: &[Step], requests: &[(RangeRequest, u8)]) {
    let mut world = World::new();
    for step in steps {
        world.take(step, requests);
        world.check(requests);
    }
    world.store().wait_compacted(world.plain.compact).unwrap();
    world.check(requests);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn it_agrees_with_the_plain_store(
        steps in vec(step(24), 1..50),
        requests in vec(request(), 12),
    ) {
        run(&steps, &requests);
    }

    /// Three keys, so that each has more versions than links are followed for.
    #[test]
    fn keys_with_many_versions_agree_too(
        steps in vec(step(3), 40..80),
        requests in vec(request(), 6),
    ) {
        run(&steps, &requests);
    }
}
