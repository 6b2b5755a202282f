//! A store written into a file and made anew from it holds the same.

use std::path::Path;

use bytes::Bytes;
use mainstay_apply::{AppliedState, LogPosition, rows};
use mainstay_lease::row as lease_row;
use mainstay_mvcc::{Options, Store, Writer};
use mainstay_proto::etcdserverpb::RangeRequest;
use mainstay_snapshot::{Cancel, Error, Imported, export, import, origin, status, trailer};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{bytes, file};

const LEASE: i64 = 0x1234;

#[derive(Debug, Clone)]
enum Op {
    Put(u8, usize),
    Leased(u8),
    Delete(u8, u8),
    /// Several writes in one revision.
    Txn(Vec<u8>),
    /// Compacts this many revisions before the latest.
    Compact(i64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (any::<u8>(), 0..3000_usize).prop_map(|(key, value)| Op::Put(key % 32, value)),
        2 => any::<u8>().prop_map(|key| Op::Leased(key % 32)),
        2 => (any::<u8>(), 1..6_u8).prop_map(|(key, width)| Op::Delete(key % 32, width)),
        2 => vec(0..32_u8, 1..6).prop_map(Op::Txn),
        1 => (0..8_i64).prop_map(Op::Compact),
    ]
}

fn run(writer: &mut Writer, ops: &[Op]) {
    for op in ops {
        let mut batch = writer.begin();
        let mut mutation = batch.mutate();
        match op {
            Op::Put(key, value) => {
                let value = Bytes::from(vec![*key; *value]);
                mutation.put(&[*key], value, 0, false).unwrap();
            }
            Op::Leased(key) => {
                mutation
                    .put(&[*key], "leased".into(), LEASE, false)
                    .unwrap();
            }
            Op::Delete(key, width) => {
                let end = [key.saturating_add(*width)];
                mutation.delete_range(&[*key], &end, false).unwrap();
            }
            Op::Txn(keys) => {
                let keys: std::collections::BTreeSet<_> = keys.iter().collect();
                for key in keys {
                    mutation.put(&[*key], "txn".into(), 0, false).unwrap();
                }
            }
            Op::Compact(_) => {}
        }
        mutation.finish();
        if let Op::Compact(back) = op {
            let to = (batch.revision() - back).max(0);
            if to > batch.compact_revision() {
                batch.compact(to).unwrap();
            }
        }
        let (key, value) = lease_row::encode(LEASE, 60);
        batch.put_meta(key, Some(value));
        batch.put_meta(rows::alarm(1, 7), Some(Bytes::new()));
        batch.commit(applied().encode()).unwrap();
    }
}

fn applied() -> AppliedState {
    AppliedState {
        log: Some(LogPosition { term: 3, index: 99 }),
        membership: None,
    }
}

fn open(dir: &Path) -> (Store, Writer) {
    Store::open(Options::new(dir)).unwrap()
}

fn backup(store: &Store) -> Vec<u8> {
    let file = tempfile::tempfile().unwrap();
    bytes(export(store, file, &Cancel::default()).unwrap())
}

fn restore(backup: &[u8], dir: &Path, raise: Option<u64>) -> Result<Imported, Error> {
    import(file(backup), &Options::new(dir), &applied(), raise)
}

/// Everything a client can see from the compact revision on.
fn seen(store: &Store) -> Vec<String> {
    let from = store.compact_revision().max(1);
    let mut seen = vec![format!("{from} {}", store.revision())];
    for revision in from..=store.revision() {
        let request = RangeRequest {
            key: b"\0".as_slice().into(),
            range_end: b"\0".as_slice().into(),
            revision,
            ..RangeRequest::default()
        };
        let range = store.range(&request).unwrap();
        seen.push(format!("{:?} {}", range.kvs, range.count));
    }
    seen.push(format!(
        "{:?}",
        store.history(from, i64::MAX, usize::MAX, true).unwrap()
    ));
    seen.push(format!("{:?}", store.meta_scan(b"").unwrap()));
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_restored_store_shows_the_same(
        ops in vec(op(), 0..60),
        then in vec(op(), 1..20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut writer) = open(&dir.path().join("a"));
        run(&mut writer, &ops);
        store.flush().unwrap();
        let compact = store.compact_revision();
        let backup = backup(&store);
        let imported = restore(&backup, &dir.path().join("b"), None).unwrap();
        prop_assert_eq!(imported.revision, store.revision());
        prop_assert_eq!(imported.compact_revision, compact);
        let (copy, mut copy_writer) = open(&dir.path().join("b"));
        prop_assert_eq!(seen(&copy), seen(&store));
        prop_assert_eq!(copy.stats().keys, store.stats().keys);
        // Opened anew, as the hashes that compactions left answer in the place of computed ones.
        drop((store, writer));
        let (store, mut writer) = open(&dir.path().join("a"));
        prop_assert_eq!(copy.hash_kv(0).unwrap(), store.hash_kv(0).unwrap());
        let status = status(file(&backup)).unwrap();
        prop_assert_eq!(status.total_key as i64, store.stats().keys);
        // A copy of the copy is the same file (a store nothing was applied to stands nowhere in
        // the log), and both go on alike.
        prop_assert!(ops.is_empty() || self::backup(&copy) == backup);
        run(&mut writer, &then);
        run(&mut copy_writer, &then);
        prop_assert_eq!(seen(&copy), seen(&store));
        prop_assert_eq!(copy.size().logical_bytes - store.size().logical_bytes, 0);
    }
}

#[test]
fn a_raised_revision_compacts_what_was_before() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = open(&dir.path().join("a"));
    run(
        &mut writer,
        &[
            Op::Put(1, 10),
            Op::Put(1, 20),
            Op::Put(2, 5),
            Op::Delete(2, 1),
        ],
    );
    let backup = backup(&store);
    let raised = restore(&backup, &dir.path().join("b"), Some(1000)).unwrap();
    assert_eq!((raised.revision, raised.compact_revision), (1005, 1005));
    let (copy, mut copy_writer) = open(&dir.path().join("b"));
    copy.wait_compacted(1005).unwrap();
    let request = |revision| RangeRequest {
        key: b"\0".as_slice().into(),
        range_end: b"\0".as_slice().into(),
        revision,
        ..RangeRequest::default()
    };
    let now = copy.range(&request(0)).unwrap();
    assert_eq!((now.kvs.len(), now.kvs[0].mod_revision), (1, 3));
    assert!(copy.range(&request(1004)).is_err());
    run(&mut copy_writer, &[Op::Put(3, 1)]);
    assert_eq!(copy.revision(), 1006);
    // The copy of the index on disk holds the record that raised it, too.
    copy.flush().unwrap();
    copy.checkpoint_index().unwrap();
    let hash = copy.hash_kv(0).unwrap();
    drop((copy, copy_writer));
    let (copy, _writer) = open(&dir.path().join("b"));
    assert_eq!(copy.hash_kv(0).unwrap(), hash);
    // Once more through a file, where the row that raised it stands without a value.
    let again = self::backup(&copy);
    restore(&again, &dir.path().join("c"), None).unwrap();
    let (second, _writer) = open(&dir.path().join("c"));
    assert_eq!(second.hash_kv(0).unwrap(), copy.hash_kv(0).unwrap());
    assert!(restore(&again, &dir.path().join("d"), Some(u64::MAX)).is_err());
}

#[test]
fn no_cut_and_no_flipped_bit_passes_the_checksum() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = open(&dir.path().join("a"));
    run(
        &mut writer,
        &[Op::Put(1, 10), Op::Leased(2), Op::Delete(1, 1)],
    );
    let mut whole = Vec::new();
    trailer::append(&mut backup(&store).as_slice(), &mut whole).unwrap();
    trailer::verify(&file(&whole)).unwrap();
    for at in 0..whole.len() {
        assert!(trailer::verify(&file(&whole[..at])).is_err(), "cut at {at}");
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(trailer::verify(&file(&flipped)).is_err(), "flipped at {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// What an import makes of it is a store that opens, or nothing.
    #[test]
    fn an_unchecked_file_with_flipped_bits_ends_in_a_store_or_an_error(
        flips in vec((any::<prop::sample::Index>(), 0..8_u8), 1..6),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut writer) = open(&dir.path().join("a"));
        run(&mut writer, &[Op::Put(1, 10), Op::Leased(2), Op::Txn(vec![1, 2, 3]), Op::Delete(1, 1)]);
        let mut bytes = backup(&store);
        for (at, bit) in flips {
            // Beyond the metas, whose own checksum refuses nearly everything.
            let place = 8192 + at.index(1200);
            bytes[place] ^= 1 << bit;
        }
        let target = dir.path().join("b");
        if let Ok(imported) = restore(&bytes, &target, None) {
            let (copy, _writer) = open(&target);
            prop_assert_eq!(copy.revision(), imported.revision);
            copy.hash_kv(0).unwrap();
            mainstay_lease::Lessor::load(&copy).unwrap();
        }
    }
}

#[test]
fn whatever_is_wrong_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = open(&dir.path().join("a"));
    run(&mut writer, &[Op::Put(1, 10), Op::Leased(2)]);
    let backup = backup(&store);
    let stood = origin(file(&backup)).unwrap();
    assert_eq!((stood.index, stood.term), (99, 3));
    for length in [0, 100, 4096, 8192, backup.len() - 1] {
        let cut = restore(
            &backup[..length],
            &dir.path().join(length.to_string()),
            None,
        );
        assert!(matches!(cut, Err(Error::Damaged(_))), "{length}: {cut:?}");
    }
    let there = restore(&backup, &dir.path().join("a"), None);
    assert!(there.is_err(), "a store is never written over");
    let cancel = Cancel::default();
    cancel.cancel();
    let given_up = export(&store, tempfile::tempfile().unwrap(), &cancel);
    assert!(matches!(given_up, Err(Error::Cancelled)));
}
