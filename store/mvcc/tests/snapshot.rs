//! A snapshot taken by one member and installed by another.

use std::{fs, path::Path};

use bytes::Bytes;
use mainstay_mvcc::{Error, Options, Store, Writer, install};

fn put(writer: &mut Writer, key: &str, applied: &str) {
    let mut batch = writer.begin();
    let mut mutation = batch.mutate();
    mutation
        .put(key.as_bytes(), Bytes::from_static(b"value"), 7, false)
        .unwrap();
    mutation.finish();
    batch.put_meta(Bytes::from("lease/7"), Some(Bytes::from_static(b"60")));
    batch.commit(Bytes::from(applied.to_owned())).unwrap();
}

fn open(dir: &Path) -> (Store, Writer) {
    Store::open(Options::new(dir)).unwrap()
}

#[test]
fn an_installed_snapshot_is_the_store_it_was_taken_from() {
    let dir = tempfile::tempdir().unwrap();
    let (from, into, sent) = (
        dir.path().join("a"),
        dir.path().join("b"),
        dir.path().join("sent"),
    );
    let (store, mut writer) = open(&from);
    for number in 0..100 {
        put(
            &mut writer,
            &format!("key{number}"),
            &format!("entry {number}"),
        );
    }
    let info = store.snapshot_to(&sent).unwrap();
    assert_eq!(
        (info.revision, &info.applied[..]),
        (101, b"entry 99".as_slice())
    );
    let hash = store.hash_kv(101).unwrap();
    // What is written afterwards is not in it.
    put(&mut writer, "later", "entry 100");

    let (other, mut other_writer) = open(&into);
    put(&mut other_writer, "forgotten", "other");
    other.checkpoint_index().unwrap();
    drop((other, other_writer));
    install(&into, &sent, &info).unwrap();
    let (store, mut writer) = open(&into);
    assert_eq!(store.revision(), 101);
    assert_eq!(store.applied().unwrap().unwrap(), info.applied);
    assert_eq!(store.flushed_applied().unwrap().unwrap(), info.applied);
    assert_eq!(store.hash_kv(0).unwrap(), hash);
    assert_eq!(store.key_meta(b"forgotten"), None);
    assert_eq!(store.meta(b"lease/7").unwrap().unwrap(), "60");
    assert_eq!(store.leased_keys().len(), 100);
    put(&mut writer, "key0", "next");
    assert_eq!(store.key_meta(b"key0").unwrap().version, 2);
    drop((store, writer));
    let databases: Vec<_> = fs::read_dir(&into)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(
        databases
            .iter()
            .filter(|n| n.to_string_lossy().starts_with("db-"))
            .count(),
        1
    );
}

#[test]
fn a_damaged_snapshot_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (from, into) = (dir.path().join("a"), dir.path().join("b"));
    let (store, mut writer) = open(&from);
    put(&mut writer, "key", "entry");
    drop(open(&into));
    for damage in ["flip", "cut", "lose", "add"] {
        let sent = dir.path().join(damage);
        let info = store.snapshot_to(&sent).unwrap();
        let table = info
            .files
            .iter()
            .find(|f| f.name.ends_with(".sst"))
            .unwrap();
        let path = sent.join(&table.name);
        let mut bytes = fs::read(&path).unwrap();
        match damage {
            "flip" => bytes[20] ^= 1,
            "cut" => bytes.truncate(bytes.len() - 1),
            _ => {}
        }
        // The files of a snapshot are links to those of the store.
        fs::remove_file(&path).unwrap();
        match damage {
            "lose" => {}
            "add" => {
                fs::write(&path, bytes).unwrap();
                fs::write(sent.join("odd"), "x").unwrap();
            }
            _ => fs::write(&path, bytes).unwrap(),
        }
        assert!(
            matches!(install(&into, &sent, &info), Err(Error::Corrupt { .. })),
            "{damage}"
        );
    }
    let (store, _writer) = open(&into);
    assert_eq!(store.revision(), 1);
}

#[test]
fn an_install_cut_short_before_the_pointer_leaves_the_old_store() {
    let dir = tempfile::tempdir().unwrap();
    let (from, into, sent) = (
        dir.path().join("a"),
        dir.path().join("b"),
        dir.path().join("sent"),
    );
    let (store, mut writer) = open(&from);
    put(&mut writer, "new", "entry");
    let info = store.snapshot_to(&sent).unwrap();
    let (old, mut old_writer) = open(&into);
    put(&mut old_writer, "old", "other");
    drop((old, old_writer));
    let pointer = fs::read(into.join("CURRENT_DB")).unwrap();
    install(&into, &sent, &info).unwrap();
    // As if the process had died between moving the directory in and switching the pointer.
    fs::write(into.join("CURRENT_DB"), pointer).unwrap();
    let (store, _writer) = open(&into);
    assert!(store.key_meta(b"old").is_some() && store.key_meta(b"new").is_none());
}
