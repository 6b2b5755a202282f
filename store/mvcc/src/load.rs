//! Filling a new store with what another one held, revision by revision.

use bytes::Bytes;
use mainstay_proto::mvccpb::KeyValue;
use rocksdb::WriteBatch;

use crate::{
    Error, Options,
    accounting::Accounting,
    compaction::Progress,
    db::Db,
    directory,
    index::{Latest, tree::Tree},
    record::Record,
    revision::{FIRST, NEVER_COMPACTED, Revision},
    schema,
    state::State,
};

/// Bytes of records in one batch.
const BATCH_BYTES: usize = 1 << 20;

/// One write of the store that is copied.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    pub revision: i64,
    pub sub: u32,
    pub delete: bool,
    /// Of a delete only the key counts. `mod_revision` is not looked at.
    pub kv: KeyValue,
}

/// What was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    pub revision: i64,
    pub compact_revision: i64,
    /// Living keys.
    pub keys: u64,
}

/// Writes a new store. It keeps every key in memory, as an open store does, and no values. Nothing
/// of it may be used before [`Loader::finish`].
pub struct Loader {
    db: Db,
    batch: WriteBatch,
    buffer: Vec<u8>,
    /// The newest record of every key.
    newest: Tree,
    last: Option<Revision>,
    accounting: Accounting,
    compact: i64,
    /// Bytes that the compaction to `compact` has freed or is about to.
    freed: u64,
}

impl Loader {
    /// Makes a store in a directory that holds none. `compact` is the compact revision of the
    /// store that is copied, or -1.
    pub fn create(options: &Options, compact: i64) -> Result<Loader, Error> {
        if options.dir.exists() {
            return Err(Error::corrupt(format!(
                "{} exists already",
                options.dir.display()
            )));
        }
        let database = directory::enter(&options.dir)?;
        Ok(Loader {
            db: Db::open(&database, options)?,
            batch: WriteBatch::default(),
            buffer: Vec::new(),
            newest: Tree::default(),
            last: None,
            accounting: Accounting::default(),
            compact: compact.max(NEVER_COMPACTED),
            freed: 0,
        })
    }

    /// Adds a write, which must come after all before it.
    ///
    /// Errors: `Corrupt` if it contradicts what came before it or itself.
    pub fn write(&mut self, write: Write) -> Result<(), Error> {
        let revision = Revision::new(write.revision, write.sub);
        let odd = |what: &str| Error::corrupt(format!("the write of revision {revision:?} {what}"));
        if write.revision <= FIRST || self.last.is_some_and(|last| last >= revision) {
            return Err(odd("is out of order"));
        }
        let KeyValue {
            key,
            value,
            create_revision: create,
            version,
            lease,
            ..
        } = write.kv;
        let possible = (0..=write.revision).contains(&create) && version >= 1;
        if !write.delete && !possible {
            return Err(odd("has a create revision or a version that cannot be"));
        }
        if self.last.is_none_or(|last| last.main < write.revision) {
            self.accounting.begin_mutation();
        }
        self.last = Some(revision);
        let known = self.newest.get(&key).copied();
        let superseded = known
            .filter(|latest| !latest.tombstone())
            .map(|latest| latest.value_len);
        let value_len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        match write.delete {
            true => self.accounting.delete(key.len(), superseded),
            false => self.accounting.put(key.len(), value_len, superseded),
        }
        let alive = |number: i64| if write.delete { 0 } else { number };
        let record = Record {
            revision,
            value: if write.delete { Bytes::new() } else { value },
            create: alive(create),
            version: alive(version),
            lease: alive(lease),
            tombstone: write.delete,
            prev: known.map(|latest| latest.revision()),
            dead: self.accounting.dead(),
            key,
        };
        self.note_freed(&record);
        self.newest.set(&record.key, |_| Latest::of(&record));
        self.buffer.clear();
        record.encode(&mut self.buffer);
        self.batch.put(schema::record_key(revision), &self.buffer);
        self.write_if_full(BATCH_BYTES)
    }

    /// Keeps what a compaction to the compact revision frees of what has come by now.
    fn note_freed(&mut self, record: &Record) {
        if record.revision.main < self.compact {
            self.freed = self.accounting.dead_after();
        } else if record.revision.main == self.compact {
            self.freed = record.dead;
        }
    }

    /// The latest revision so far.
    pub fn revision(&self) -> i64 {
        let last = self.last.map_or(FIRST, |last| last.main);
        last.max(self.compact)
    }

    /// Raises the compact revision, to one that the next write has.
    pub fn compact_to(&mut self, revision: i64) {
        self.compact = self.compact.max(revision);
        self.freed = self.accounting.dead_after();
    }

    /// Sets a row of the rooms above.
    pub fn put_meta(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.batch.put(schema::meta_key(key), value);
        self.write_if_full(BATCH_BYTES)
    }

    /// Every living key that has a lease, as [`crate::Store::leased_keys`] will say it.
    pub fn leased_keys(&self) -> Vec<(i64, Bytes)> {
        let mut leased = Vec::new();
        self.newest.walk(&[], None, true, |key, latest| {
            if latest.lease != 0 {
                leased.push((latest.lease, Bytes::copy_from_slice(key)));
            }
            std::ops::ControlFlow::Continue(())
        });
        leased
    }

    /// Makes the store whole and durable. `applied` is what it says it was made of; `removed` is
    /// the revision up to which its compaction has come to its end, the rest goes on once the
    /// store is opened.
    pub fn finish(mut self, applied: &[u8], removed: i64) -> Result<Loaded, Error> {
        let state = State {
            revision: self.revision(),
            compact: self.compact,
            accounting: {
                self.accounting.compact(self.freed);
                self.accounting
            },
        };
        let removed = removed.clamp(NEVER_COMPACTED, self.compact);
        let progress = Progress {
            versions: removed,
            tombstones: removed,
        };
        self.batch.put(schema::STATE, state.encode());
        self.batch.put(schema::PROGRESS, progress.encode());
        self.batch.put(schema::APPLIED, applied);
        self.write_if_full(0)?;
        self.db.flush()?;
        Ok(Loaded {
            revision: state.revision,
            compact_revision: state.compact,
            keys: self.newest.live(),
        })
    }

    fn write_if_full(&mut self, bytes: usize) -> Result<(), Error> {
        if self.batch.size_in_bytes() < bytes {
            return Ok(());
        }
        self.db.write(std::mem::take(&mut self.batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    fn write(revision: i64, sub: u32, version: i64) -> Write {
        Write {
            revision,
            sub,
            delete: false,
            kv: KeyValue {
                key: "k".into(),
                create_revision: 2,
                version,
                ..KeyValue::default()
            },
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_and_the_rest_is_a_store() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new(dir.path().join("new"));
        let mut loader = Loader::create(&options, -1).unwrap();
        loader.write(write(2, 0, 1)).unwrap();
        for odd in [
            write(2, 0, 2),
            write(1, 7, 1),
            write(3, 0, 0),
            write(-1, 0, 1),
        ] {
            let refused = loader.write(odd.clone());
            assert!(matches!(refused, Err(Error::Corrupt { .. })), "{odd:?}");
        }
        let mut later = write(3, 0, 2);
        later.kv.create_revision = 4;
        assert!(loader.write(later).is_err());
        loader.write(write(3, 0, 2)).unwrap();
        let loaded = loader.finish(b"applied", -1).unwrap();
        assert_eq!((loaded.revision, loaded.keys), (3, 1));
        assert!(Loader::create(&options, -1).is_err(), "it is there already");
        let (store, _writer) = Store::open(options).unwrap();
        assert_eq!(store.applied().unwrap().as_deref(), Some(&b"applied"[..]));
        assert_eq!(store.history(2, 3, usize::MAX, true).unwrap().len(), 2);
    }

    #[test]
    fn a_store_whose_last_record_was_compacted_away_keeps_its_revision() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new(dir.path().join("new"));
        let mut loader = Loader::create(&options, 9).unwrap();
        loader.write(write(2, 0, 1)).unwrap();
        assert_eq!(loader.finish(b"", 9).unwrap().revision, 9);
        let (store, _writer) = Store::open(options).unwrap();
        assert_eq!((store.revision(), store.compact_revision()), (9, 9));
    }
}
