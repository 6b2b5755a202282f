//! Looking at a stopped store without opening it for use: nothing is written, no index is built, and
//! what cannot be read is told and passed over.
//!
//! Where RocksDB's own notes of its files (`CURRENT`, `MANIFEST`) are damaged, the files themselves may
//! well be sound: [`Inspector::salvage`] has new notes made of them, elsewhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::{Error, db::Db, directory, record::Record, revision::Revision, schema, state::State};

/// A store's database, open for reading.
pub struct Inspector {
    db: Db,
    path: PathBuf,
    damage: Vec<Error>,
}

/// The table files of a database, all there is of it: the store writes no log of RocksDB's.
const TABLE: &str = "sst";
/// Where a repair puts the files that it cannot read.
const LOST: &str = "lost";

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
        let damage = directory::current(dir).err().into_iter().collect();
        let path = directory::find(dir)?;
        let db = Db::open_to_read(&path)?;
        Ok(Inspector { db, path, damage })
    }

    /// The same from the table files alone, put together in `scratch`, an empty directory that must
    /// outlive this. It takes no room where it is on the store's file system. What is found may be
    /// more than the database had: files that it had no use for any more are among them.
    pub fn salvage(dir: &Path, scratch: &Path) -> Result<Inspector, Error> {
        let mut damage: Vec<Error> = directory::current(dir).err().into_iter().collect();
        let path = directory::find(dir)?;
        let mut tables = 0;
        for entry in fs::read_dir(&path)? {
            let from = entry?.path();
            if let (Some(TABLE), Some(name)) = (extension(&from), from.file_name()) {
                bring(&from, &scratch.join(name))?;
                tables += 1;
            }
        }
        if tables == 0 {
            return Err(Error::corrupt(format!(
                "{} has no table files",
                path.display()
            )));
        }
        let db = Db::repair_to_read(scratch)?;
        match fs::read_dir(scratch.join(LOST)) {
            Ok(lost) => {
                for entry in lost {
                    let name = entry?.file_name();
                    let name = name.to_string_lossy();
                    damage.push(Error::corrupt(format!("{name} cannot be read")));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Inspector { db, path, damage })
    }

    /// What was found to be damaged as the database was opened.
    pub fn damage(&self) -> &[Error] {
        &self.damage
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

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}

/// A second name for a file, or where that cannot be a copy. RocksDB never changes a table file.
fn bring(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
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
