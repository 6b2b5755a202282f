//! The store at one commit, to copy all of it while writes go on.

use bytes::Bytes;
use rocksdb::{Direction, IteratorMode, ReadOptions, Snapshot};

use crate::{
    Error, Store,
    backend_row::BackendRow,
    compaction::{self, Progress},
    db::{Db, after_prefix},
    record::Record,
    revision::Revision,
    schema::{self, record_key, record_revision},
    state::State,
};

/// Key and value as stored.
type Row = (Box<[u8]>, Box<[u8]>);

/// Rows of every kind as they stood at one commit. It keeps RocksDB from returning the space of
/// what is overwritten meanwhile, so it is not held for longer than a copy takes.
pub struct Frozen<'a> {
    snapshot: Snapshot<'a>,
    state: State,
    /// Records not after the compact revision that removal had not come to, in order.
    superseded: Vec<Revision>,
}

impl Store {
    /// Freezes the store. Waits for a compaction under way, as what it still has to remove would
    /// have to be remembered: not for a thread that others wait for.
    pub fn freeze(&self) -> Result<Frozen<'_>, Error> {
        let inner = self.inner();
        let compact = inner.compact();
        if compact > 0 {
            compaction::wait(inner, compact)?;
        }
        Frozen::of(&inner.db)
    }
}

impl<'a> Frozen<'a> {
    fn of(db: &'a Db) -> Result<Frozen<'a>, Error> {
        let snapshot = db.snapshot();
        let state = match snapshot.get(schema::STATE)? {
            Some(row) => State::decode(&row)?,
            None => State::default(),
        };
        let progress = Progress::decode(snapshot.get(schema::PROGRESS)?.as_deref())?;
        let mut frozen = Frozen {
            snapshot,
            state,
            superseded: Vec::new(),
        };
        if progress.versions < state.compact {
            frozen.superseded = frozen.superseded_after(progress.versions)?;
        }
        Ok(frozen)
    }

    /// What records after `main` and up to the compact revision take the place of.
    fn superseded_after(&self, main: i64) -> Result<Vec<Revision>, Error> {
        let first = Revision::new(main.saturating_add(1).max(0), 0);
        let mut superseded = Vec::new();
        for record in self.records(first, Revision::last_of(self.state.compact)) {
            let record = record?;
            if record.follows_value() {
                superseded.extend(record.prev);
            }
        }
        superseded.sort_unstable();
        Ok(superseded)
    }

    pub fn revision(&self) -> i64 {
        self.state.revision
    }

    /// -1 when the store was never compacted.
    pub fn compact_revision(&self) -> i64 {
        self.state.compact
    }

    /// What the commit says it was made of.
    pub fn applied(&self) -> Result<Option<Bytes>, Error> {
        Ok(self.snapshot.get(schema::APPLIED)?.map(Bytes::from))
    }

    pub fn meta(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let row = self.snapshot.get(schema::meta_key(key))?;
        Ok(row.map(Bytes::from))
    }

    /// Rows of the rooms above whose key begins with `prefix`, in order.
    pub fn meta_scan(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let first = schema::meta_key(prefix);
        let rows = self.rows(&first, after_prefix(&first));
        rows.map(|row| row.map(schema::meta_row)).collect()
    }

    /// Hands over every record that a compaction which has come to its end leaves, as the rows of
    /// etcd's bucket `key` and in their order. An error of `take` ends it.
    pub fn backend_rows<E: From<Error>>(
        &self,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let compact = self.state.compact;
        let mut row = BackendRow::default();
        for record in self.records(Revision::default(), Revision::last_of(i64::MAX)) {
            let record = record?;
            let main = record.revision.main;
            // A tombstone before the compact revision may only wait for a copy of the index.
            let gone = main <= compact
                && ((record.tombstone && main < compact)
                    || self.superseded.binary_search(&record.revision).is_ok());
            if !gone {
                row.set(record);
                take(&row.key, &row.value)?;
            }
        }
        Ok(())
    }

    fn records(
        &self,
        from: Revision,
        to: Revision,
    ) -> impl Iterator<Item = Result<Record, Error>> + '_ {
        let mut end = record_key(to).to_vec();
        end.push(0);
        self.rows(&record_key(from), Some(end)).map(|row| {
            let (key, value) = row?;
            Record::decode(record_revision(&key)?, value.into())
        })
    }

    fn rows<'s>(
        &'s self,
        from: &[u8],
        end: Option<Vec<u8>>,
    ) -> impl Iterator<Item = Result<Row, Error>> + use<'s, 'a> {
        let mut options = ReadOptions::default();
        // A copy reads everything once: it must not push out what others read often.
        options.fill_cache(false);
        if let Some(end) = end {
            options.set_iterate_upper_bound(end);
        }
        let mode = IteratorMode::From(from, Direction::Forward);
        let rows = self.snapshot.iterator_opt(mode, options);
        rows.map(|row| row.map_err(Error::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Writer};

    fn put(writer: &mut Writer, key: &'static str) {
        let mut batch = writer.begin();
        let mut mutation = batch.mutate();
        mutation.put(key.as_bytes(), key.into(), 0, false).unwrap();
        mutation.finish();
        batch.commit(Bytes::new()).unwrap();
    }

    fn delete(writer: &mut Writer, key: &str) {
        let mut batch = writer.begin();
        let mut mutation = batch.mutate();
        mutation.delete_range(key.as_bytes(), b"", false).unwrap();
        mutation.finish();
        batch.commit(Bytes::new()).unwrap();
    }

    fn keys(frozen: &Frozen<'_>) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let take = |key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            Ok::<_, Error>(())
        };
        frozen.backend_rows(take).unwrap();
        keys
    }

    #[test]
    fn what_removal_has_not_come_to_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut writer) = Store::open(Options::new(dir.path())).unwrap();
        for key in ["a", "b", "a", "c"] {
            put(&mut writer, key);
        }
        delete(&mut writer, "b");
        delete(&mut writer, "c");
        put(&mut writer, "a");
        let hold = store.inner().compactor.hold();
        let mut batch = writer.begin();
        batch.compact(7).unwrap();
        batch.commit(Bytes::new()).unwrap();
        let behind = keys(&Frozen::of(&store.inner().db).unwrap());
        drop(hold);
        let frozen = store.freeze().unwrap();
        assert_eq!(behind, keys(&frozen));
        // The tombstone of the compact revision, and what is alive at it.
        let mains: Vec<u8> = behind.iter().map(|key| key[7]).collect();
        assert_eq!(mains, [4, 7, 8]);
        put(&mut writer, "later");
        assert_eq!((frozen.revision(), keys(&frozen).len()), (8, 3));
    }
}
