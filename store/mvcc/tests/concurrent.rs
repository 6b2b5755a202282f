//! Readers beside a writer that writes and compacts: what they see is one revision, whole.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use bytes::Bytes;
use mainstay_mvcc::{Error, Options, Store, View, Writer};
use mainstay_proto::etcdserverpb::RangeRequest;

const KEYS: usize = 64;
const ROUNDS: usize = 1500;

fn all() -> RangeRequest {
    let zero = Bytes::from_static(b"\0");
    RangeRequest {
        key: zero.clone(),
        range_end: zero,
        ..RangeRequest::default()
    }
}

/// Every round sets all keys to its number, deletes one and brings back the one before.
fn write(writer: &mut Writer, round: usize) {
    let mut batch = writer.begin();
    let mut mutation = batch.mutate();
    let gone = format!("key{:03}", round % KEYS);
    mutation.delete_range(gone.as_bytes(), b"", false).unwrap();
    for number in (0..KEYS).filter(|number| *number != round % KEYS) {
        let key = format!("key{number:03}");
        mutation
            .put(key.as_bytes(), round.to_string().into(), 0, false)
            .unwrap();
    }
    mutation.finish();
    if round % 50 == 49 {
        let revision = batch.revision() - 10;
        batch.compact(revision).unwrap();
    }
    batch.commit(Bytes::from(round.to_string())).unwrap();
}

fn read(store: &Store, back: i64) -> Result<(), Error> {
    let latest = store.range(&all())?;
    if latest.revision > 1 {
        assert_eq!(latest.count, KEYS as i64 - 1);
        assert!(latest.kvs.iter().all(|kv| kv.value == latest.kvs[0].value));
    }
    let revision = latest.revision - back;
    if revision < 2 {
        return Ok(());
    }
    let older = store.range(&RangeRequest { revision, ..all() })?;
    assert_eq!(older.kvs.len(), KEYS - 1);
    assert!(older.kvs.iter().all(|kv| kv.mod_revision == revision));
    let view = store.pin(revision)?;
    let (mut from, mut seen) = (Bytes::from_static(b"\0"), 0);
    loop {
        let chunk = view.range_chunk(&from, b"\0", 10, false)?;
        assert!(chunk.iter().all(|kv| kv.mod_revision == revision));
        seen += chunk.len();
        match chunk.last() {
            Some(last) if chunk.len() == 10 => from = View::after(&last.key),
            _ => break,
        }
    }
    assert_eq!(seen, KEYS - 1);
    let changes = store.history(revision, i64::MAX, 1 << 14, true)?;
    assert!(
        changes
            .iter()
            .all(|change| change.kv.mod_revision == change.revision)
    );
    store.hash_kv(revision).map(drop)
}

#[test]
fn readers_see_whole_revisions() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(dir.path());
    // Small enough that flushes happen on the way.
    options.write_buffer_bytes = 1 << 20;
    let (store, mut writer) = Store::open(options).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for back in [0, 5, 30] {
            let (store, over) = (store.clone(), &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    match read(&store, back) {
                        Ok(()) | Err(Error::Compacted) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        for round in 0..ROUNDS {
            write(&mut writer, round);
            if round % 400 == 399 {
                store.checkpoint_index().unwrap();
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    store.wait_compacted(store.compact_revision()).unwrap();
    assert_eq!(store.revision(), ROUNDS as i64 + 1);
}
