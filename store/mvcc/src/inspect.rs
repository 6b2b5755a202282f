//! Looking at a stopped store without opening it for use: nothing is written, no index is built, and
//! what cannot be read is told and passed over.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::{Error, db::Db, directory, record::Record, revision::Revision, schema, state::State};

/// A store's database, open for reading.
pub struct Inspector {
    db: Db,
    path: PathBuf,
}

/// One write of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub main: i64,
    pub sub: u32,
    pub key: Bytes,
    pub tombstone: bool,
    pub value_bytes: usize,
    pub version: i64,
    pub create_revision: i64,
    pub lease: i64,
}

impl Inspector {
    /// Opens the database in force in a store's directory. Where the pointer to it is damaged, the
    /// newest one there is.
    pub fn open(dir: &Path) -> Result<Inspector, Error> {
        let path = directory::find(dir)?;
        let db = Db::open_to_read(&path)?;
        Ok(Inspector { db, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The latest revision and the one compacted to, -1 for never. `None` if nothing was ever
    /// committed.
    pub fn revisions(&self) -> Result<Option<(i64, i64)>, Error> {
        let row = self.db.get(schema::STATE)?;
        let state = row.map(|row| State::decode(&row)).transpose()?;
        Ok(state.map(|state| (state.revision, state.compact)))
    }

    /// What the last commit said it was made of.
    pub fn applied(&self) -> Result<Option<Bytes>, Error> {
        self.db.get(schema::APPLIED)
    }

    pub fn meta(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.db.get(&schema::meta_key(key))
    }

    /// Rows of the rooms above whose key begins with `prefix`, in order.
    pub fn meta_scan(&self, prefix: &[u8]) -> Vec<Result<(Bytes, Bytes), Error>> {
        let prefix = schema::meta_key(prefix);
        let rows = self.db.rows(&prefix);
        rows.map(|row| row.map(schema::meta_row)).collect()
    }

    /// Every record by revision. After one that cannot be read the walk goes on behind it, in
    /// steps that double, up to revision `last`.
    pub fn records(&self, last: i64, mut tell: impl FnMut(Result<Seen, Error>)) {
        let mut from = Revision::new(0, 0);
        while let Some(bad) = self.records_from(from, &mut tell) {
            let mut step = 1i64;
            loop {
                let main = bad.main.saturating_add(step);
                if main > last {
                    return;
                }
                from = Revision::new(main, 0);
                let mut next = self.db.records(from, Revision::last_of(i64::MAX));
                if next.next().is_some_and(|row| row.is_ok()) {
                    break;
                }
                step = step.saturating_mul(2);
            }
        }
    }

    /// Tells the records from a revision on; returns the last one before what cannot be read, if
    /// the database gave up there.
    fn records_from(
        &self,
        from: Revision,
        tell: &mut impl FnMut(Result<Seen, Error>),
    ) -> Option<Revision> {
        let (mut last, mut bad) = (from, false);
        for record in self.db.records(from, Revision::last_of(i64::MAX)) {
            bad = record.is_err();
            if let Ok(record) = &record {
                last = record.revision;
            }
            tell(record.map(seen));
        }
        bad.then_some(last)
    }
}

fn seen(record: Record) -> Seen {
    Seen {
        main: record.revision.main,
        sub: record.revision.sub,
        key: record.key,
        tombstone: record.tombstone,
        value_bytes: record.value.len(),
        version: record.version,
        create_revision: record.create,
        lease: record.lease,
    }
}
