//! A start from the copy of the index, when a compaction went on after the copy was made.

use std::path::Path;

use bytes::Bytes;
use mainstay_mvcc::{Options, Store, Writer};

fn put(writer: &mut Writer, key: &[u8]) {
    let mut batch = writer.begin();
    let mut mutation = batch.mutate();
    mutation
        .put(key, Bytes::from_static(b"value"), 0, false)
        .unwrap();
    mutation.finish();
    batch.commit(Bytes::new()).unwrap();
}

fn delete(writer: &mut Writer, key: &[u8]) {
    let mut batch = writer.begin();
    let mut mutation = batch.mutate();
    assert_eq!(mutation.delete_range(key, b"", false).unwrap().len(), 1);
    mutation.finish();
    batch.commit(Bytes::new()).unwrap();
}

fn compact(store: &Store, writer: &mut Writer) {
    let mut batch = writer.begin();
    let revision = batch.revision();
    batch.compact(revision).unwrap();
    batch.commit(Bytes::new()).unwrap();
    store.wait_compacted(revision).unwrap();
}

/// Records a closed store holds.
fn records(dir: &Path) -> usize {
    let rocks = rocksdb::DB::open_default(dir.join("db-000001")).unwrap();
    let rows = rocks
        .iterator(rocksdb::IteratorMode::Start)
        .map(Result::unwrap);
    rows.filter(|(key, _)| key.first() == Some(&b'r')).count()
}

#[test]
fn a_key_deleted_and_compacted_after_the_copy_stays_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(Options::new(dir.path())).unwrap();
    let (store, mut writer) = open();
    put(&mut writer, b"gone");
    put(&mut writer, b"kept");
    store.checkpoint_index().unwrap();
    delete(&mut writer, b"gone");
    put(&mut writer, b"kept");
    compact(&store, &mut writer);
    drop((store, writer));
    // The copy knows the key as alive, so the tombstone has to outlive the compaction.
    assert_eq!(records(dir.path()), 2);

    let (store, writer) = open();
    assert_eq!(store.key_meta(b"gone"), None);
    assert_eq!(
        (store.stats().keys, store.key_meta(b"kept").unwrap().version),
        (1, 2)
    );
    // The next copy knows better, and the tombstone goes.
    store.checkpoint_index().unwrap();
    drop((store, writer));
    assert_eq!(records(dir.path()), 1);

    let (store, _writer) = open();
    assert_eq!(store.key_meta(b"gone"), None);
    assert_eq!(
        (store.stats().keys, store.key_meta(b"kept").unwrap().version),
        (1, 2)
    );
}

#[test]
fn without_a_copy_a_compaction_removes_all_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        checkpoint: false,
        ..Options::new(dir.path())
    };
    let (store, mut writer) = Store::open(options).unwrap();
    for _ in 0..2000 {
        put(&mut writer, b"often");
        put(&mut writer, b"gone");
        delete(&mut writer, b"gone");
    }
    put(&mut writer, b"last");
    compact(&store, &mut writer);
    assert_eq!(store.stats().keys, 2);
    drop((store, writer));
    assert_eq!(records(dir.path()), 2);
}
