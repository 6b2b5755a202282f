//! HashKV against what etcd 3.7.1 answered after the same operations.

use bytes::Bytes;
use mainstay_mvcc::{Error, Options, Store, Writer};

enum Op {
    Put(&'static [u8], &'static str),
    Delete(&'static [u8]),
    DeleteAll,
}

fn write(writer: &mut Writer, ops: &[Op]) {
    let mut batch = writer.begin();
    let mut mutation = batch.mutate();
    for op in ops {
        match op {
            Op::Put(key, value) => drop(mutation.put(key, (*value).into(), 0, false).unwrap()),
            Op::Delete(key) => drop(mutation.delete_range(key, b"", false).unwrap()),
            Op::DeleteAll => drop(mutation.delete_range(b"\0", b"\0", false).unwrap()),
        }
    }
    mutation.finish();
    batch.commit(Bytes::new()).unwrap();
}

fn compact(store: &Store, writer: &mut Writer, revision: i64) {
    let mut batch = writer.begin();
    batch.compact(revision).unwrap();
    batch.commit(Bytes::new()).unwrap();
    store.wait_compacted(revision).unwrap();
}

#[track_caller]
fn expect(store: &Store, revision: i64, hash: u32, compact_revision: i64, hash_revision: i64) {
    let got = store.hash_kv(revision).unwrap();
    let got = (got.hash, got.compact_revision, got.hash_revision);
    assert_eq!(got, (hash, compact_revision, hash_revision));
}

#[test]
fn hashes_are_etcds() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = Store::open(Options::new(dir.path())).unwrap();
    let writer = &mut writer;
    expect(&store, 0, 1084519789, -1, 1);
    write(writer, &[Op::Put(b"a", "1")]);
    write(writer, &[Op::Put(b"b", "2")]);
    write(writer, &[Op::Put(b"a", "3")]);
    write(writer, &[Op::Delete(b"b")]);
    write(writer, &[Op::Put(b"c", "cc"), Op::Put(b"d", "dd")]);
    write(writer, &[Op::Put(b"b", "again")]);
    expect(&store, 0, 2613135595, -1, 7);
    expect(&store, 3, 1827592406, -1, 3);
    expect(&store, 5, 1125682900, -1, 5);
    assert!(matches!(store.hash_kv(8), Err(Error::FutureRevision)));
    expect(&store, -1, 1084519789, -1, -1);

    compact(&store, writer, 0);
    expect(&store, 0, 1084519789, -1, 0);
    expect(&store, 7, 2613135595, 0, 7);
    compact(&store, writer, 5);
    expect(&store, 5, 1125682900, 0, 5);
    assert!(matches!(store.hash_kv(4), Err(Error::Compacted)));
    expect(&store, 6, 1323509511, 5, 6);
    write(writer, &[Op::Delete(b"a")]);
    write(writer, &[Op::Delete(b"c")]);
    compact(&store, writer, 8);
    expect(&store, 8, 3610597080, 5, 8);
    expect(&store, 9, 4198524082, 8, 9);
    // A hash that a compaction left outlives its revision.
    expect(&store, 5, 1125682900, 0, 5);

    // With no key alive etcd hashes whatever it still has.
    write(writer, &[Op::DeleteAll]);
    compact(&store, writer, 10);
    expect(&store, 10, 3729822185, 8, 10);
    expect(&store, 8, 3610597080, 5, 8);
    assert!(matches!(store.hash_kv(9), Err(Error::Compacted)));
    write(writer, &[Op::Put(b"e", "f")]);
    expect(&store, 11, 266918501, 10, 11);
}
