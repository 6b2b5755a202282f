//! What is damaged or missing on disk is noticed, and never answered as absent.

use std::{fs, path::Path};

use bytes::Bytes;
use mainstay_mvcc::{Error, Inspector, Options, Store};
use mainstay_proto::etcdserverpb::RangeRequest;

/// Puts a key three times (revisions 2, 3 and 4), others beside it, and closes the store.
fn fill(dir: &Path, copy_index: bool) {
    let (store, mut writer) = Store::open(Options::new(dir)).unwrap();
    for value in ["one", "two", "three"] {
        let mut batch = writer.begin();
        let mut mutation = batch.mutate();
        mutation.put(b"key", value.into(), 0, false).unwrap();
        for other in 0..20 {
            let key = format!("other{other}{value}");
            mutation
                .put(key.as_bytes(), value.into(), 0, false)
                .unwrap();
        }
        mutation.finish();
        batch.commit(Bytes::from_static(b"applied")).unwrap();
        if copy_index && value == "two" {
            store.checkpoint_index().unwrap();
        }
    }
}

fn record_key(main: i64) -> Vec<u8> {
    [b"r".as_slice(), &main.to_be_bytes(), &[0; 4]].concat()
}

/// Changes rows behind the store's back.
fn tamper(dir: &Path, change: impl FnOnce(&rocksdb::DB)) {
    let mut options = rocksdb::Options::default();
    options.set_avoid_unnecessary_blocking_io(true);
    let rocks = rocksdb::DB::open(&options, dir.join("db-000001")).unwrap();
    change(&rocks);
    rocks.flush().unwrap();
}

fn get(store: &Store, revision: i64) -> Result<Vec<Bytes>, Error> {
    let key = Bytes::from_static(b"key");
    let result = store.range(&RangeRequest {
        key,
        revision,
        ..RangeRequest::default()
    })?;
    Ok(result.kvs.into_iter().map(|kv| kv.value).collect())
}

#[test]
fn a_missing_record_is_corruption() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false);
    tamper(dir.path(), |rocks| rocks.delete(record_key(3)).unwrap());
    let (store, _writer) = Store::open(Options::new(dir.path())).unwrap();
    assert_eq!(get(&store, 0).unwrap(), ["three"]);
    assert!(matches!(get(&store, 3), Err(Error::Corrupt { .. })));
    assert!(matches!(get(&store, 2), Err(Error::Corrupt { .. })));
    assert!(matches!(
        store.history(2, 4, 1 << 20, true),
        Err(Error::Corrupt { .. })
    ));
}

#[test]
fn a_record_that_makes_no_sense_is_corruption() {
    for bytes in [
        &b""[..],
        b"\xff",
        b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), false);
        tamper(dir.path(), |rocks| rocks.put(record_key(3), bytes).unwrap());
        assert!(matches!(
            Store::open(Options::new(dir.path())),
            Err(Error::Corrupt { .. })
        ));
    }
}

#[test]
fn records_that_end_before_the_state_are_corruption() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false);
    let end = record_key(5);
    tamper(dir.path(), |rocks| {
        let mut batch = rocksdb::WriteBatch::default();
        batch.delete_range(record_key(4), end);
        rocks.write(batch).unwrap();
    });
    assert!(matches!(
        Store::open(Options::new(dir.path())),
        Err(Error::Corrupt { .. })
    ));
}

#[test]
fn a_damaged_copy_of_the_index_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    let path = dir.path().join("db-000001.index");
    let whole = fs::read(&path).unwrap();
    for at in (0..=whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        match bytes.get_mut(at) {
            Some(byte) => *byte ^= 0x20,
            None => bytes.clear(),
        }
        fs::write(&path, &bytes).unwrap();
        let (store, _writer) = Store::open(Options::new(dir.path())).unwrap();
        assert_eq!(store.stats().keys, 61);
        assert_eq!(get(&store, 0).unwrap(), ["three"]);
        assert_eq!(get(&store, 2).unwrap(), ["one"]);
        assert!(!path.exists(), "byte {at} is covered by no checksum");
    }
}

#[test]
fn a_whole_copy_of_the_index_is_used() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true);
    // A record the copy already covers is not read again, so that nobody notices yet.
    tamper(dir.path(), |rocks| {
        rocks.put(record_key(2), b"\xff").unwrap()
    });
    let (store, _writer) = Store::open(Options::new(dir.path())).unwrap();
    assert_eq!(get(&store, 0).unwrap(), ["three"]);
    assert!(matches!(get(&store, 2), Err(Error::Corrupt { .. })));
}

/// The one file of the database with this beginning.
fn file(database: &Path, begins: &str) -> std::path::PathBuf {
    let mut files = fs::read_dir(database).unwrap().map(|entry| entry.unwrap());
    let found = files.find(|entry| entry.file_name().to_str().unwrap().starts_with(begins));
    found.unwrap().path()
}

fn records(store: &Inspector) -> usize {
    let mut count = 0;
    store.records(i64::MAX, |record| count += usize::from(record.is_ok()));
    count
}

/// Breaks the database in a directory.
type BreakIt<'a> = &'a dyn Fn(&Path);

#[test]
fn a_database_without_its_notes_is_put_together_from_its_files() {
    let damage: [(&str, BreakIt<'_>); 4] = [
        ("CURRENT is gone", &|db| {
            fs::remove_file(db.join("CURRENT")).unwrap()
        }),
        ("CURRENT is nonsense", &|db| {
            fs::write(db.join("CURRENT"), "x").unwrap()
        }),
        ("MANIFEST is gone", &|db| {
            fs::remove_file(file(db, "MANIFEST-")).unwrap()
        }),
        ("MANIFEST is cut", &|db| {
            let manifest = fs::File::options().write(true).open(file(db, "MANIFEST-"));
            manifest.unwrap().set_len(20).unwrap();
        }),
    ];
    for (what, break_it) in damage {
        let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fill(dir.path(), false);
        let sound = Inspector::open(dir.path()).unwrap();
        assert_eq!((records(&sound), sound.damage().len()), (63, 0));
        drop(sound);
        let database = dir.path().join("db-000001");
        break_it(&database);
        let before = names(&database);
        assert!(Inspector::open(dir.path()).is_err(), "{what}");
        let salvaged = Inspector::salvage(dir.path(), scratch.path()).unwrap();
        assert_eq!(records(&salvaged), 63, "{what}");
        assert_eq!(salvaged.revisions().unwrap(), Some((4, -1)), "{what}");
        assert_eq!(
            names(&database),
            before,
            "{what}: the database itself is left alone"
        );
    }
}

fn names(dir: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_table_that_cannot_be_read_is_named() {
    let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(dir.path(), false);
    let database = dir.path().join("db-000001");
    fs::remove_file(database.join("CURRENT")).unwrap();
    fs::write(database.join("009999.sst"), vec![7; 5000]).unwrap();
    let salvaged = Inspector::salvage(dir.path(), scratch.path()).unwrap();
    assert_eq!(records(&salvaged), 63);
    let damage: Vec<String> = salvaged.damage().iter().map(ToString::to_string).collect();
    assert!(
        damage.len() == 1 && damage[0].contains("009999.sst"),
        "{damage:?}"
    );
}

#[test]
fn a_damaged_pointer_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false);
    fs::write(dir.path().join("CURRENT_DB"), "nonsense").unwrap();
    let found = Inspector::open(dir.path()).unwrap();
    assert_eq!((records(&found), found.damage().len()), (63, 1));
}
