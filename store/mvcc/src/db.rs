//! RocksDB as this crate uses it: one column family, no WAL, records read once and decoded.

use std::path::Path;

use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Direction, FlushOptions, IteratorMode,
    LogLevel, Options as RocksOptions, ReadOptions, ReadTier, WriteBatch, WriteOptions,
};

use crate::{
    Error, Options,
    record::Record,
    revision::Revision,
    schema::{self, record_key, record_revision},
};

/// Memtables that may wait for their flush before writes are slowed down.
const WRITE_BUFFERS: i32 = 4;
/// Threads RocksDB flushes and compacts with.
const BACKGROUND_JOBS: i32 = 2;
/// A block is the unit of a disk read; records are a few hundred bytes and read one by one.
const BLOCK_BYTES: usize = 8 * 1024;
/// Files RocksDB keeps open.
const OPEN_FILES_MAX: i32 = 1024;
/// A file in which this many of so many rows in a row are deletions is compacted, so that space
/// freed by a compaction of revisions returns by itself.
const DELETIONS_WINDOW: usize = 8192;
const DELETIONS_TRIGGER: usize = 4096;
const DELETIONS_RATIO: f64 = 0.4;
/// Info logs RocksDB keeps.
const INFO_LOGS: usize = 2;

/// Key and value as stored.
type Row = (Box<[u8]>, Box<[u8]>);

pub(crate) struct Db {
    rocks: DB,
    write: WriteOptions,
}

impl Db {
    pub fn open(dir: &Path, options: &Options) -> Result<Db, Error> {
        let rocks = DB::open(&rocks_options(options), dir)?;
        let mut write = WriteOptions::default();
        write.disable_wal(true);
        // Records arrive in ascending order, so each insert begins where the last one ended.
        write.set_memtable_insert_hint_per_batch(true);
        let db = Db { rocks, write };
        match db.get(schema::FORMAT)? {
            Some(format) if format == schema::FORMAT_VERSION => {}
            Some(format) => {
                return Err(Error::corrupt(format!(
                    "unknown format of the store: {format:?}"
                )));
            }
            None => {
                let mut batch = WriteBatch::default();
                batch.put(schema::FORMAT, schema::FORMAT_VERSION);
                db.write(batch)?;
            }
        }
        Ok(db)
    }

    /// Opens a database that nobody uses. Nothing can be written through it.
    pub fn open_to_read(dir: &Path) -> Result<Db, Error> {
        let rocks = DB::open_for_read_only(&RocksOptions::default(), dir, false)?;
        let write = WriteOptions::default();
        Ok(Db { rocks, write })
    }

    /// Makes new notes of the table files in a directory, and opens it. What was damaged is put aside
    /// there.
    pub fn repair_to_read(dir: &Path) -> Result<Db, Error> {
        DB::repair(&RocksOptions::default(), dir)?;
        Db::open_to_read(dir)
    }

    pub fn get(&self, row: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self
            .rocks
            .get_pinned(row)?
            .map(|bytes| Bytes::copy_from_slice(&bytes)))
    }

    /// Reads what a flush has made durable, past the memtables.
    pub fn get_flushed(&self, row: &[u8]) -> Result<Option<Bytes>, Error> {
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::Persisted);
        let bytes = self.rocks.get_pinned_opt(row, &options)?;
        Ok(bytes.map(|bytes| Bytes::copy_from_slice(&bytes)))
    }

    pub fn record(&self, revision: Revision) -> Result<Option<Record>, Error> {
        match self.get(&record_key(revision))? {
            Some(bytes) => Record::decode(revision, bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The last record with a main revision of at most `main`.
    pub fn last_record(&self, main: i64) -> Result<Option<Record>, Error> {
        let last = record_key(Revision::last_of(main));
        let mode = IteratorMode::From(&last, Direction::Reverse);
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(vec![schema::RECORDS]);
        match self.rocks.iterator_opt(mode, options).next() {
            Some(row) => {
                let (key, value) = row?;
                Record::decode(record_revision(&key)?, value.into()).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Records from `from` to `to`, both inclusive, in order.
    pub fn records(
        &self,
        from: Revision,
        to: Revision,
    ) -> impl Iterator<Item = Result<Record, Error>> + '_ {
        let first = record_key(from);
        let mut end = record_key(to).to_vec();
        end.push(0);
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(end);
        let rows = self
            .rocks
            .iterator_opt(IteratorMode::From(&first, Direction::Forward), options);
        rows.map(|row| {
            let (key, value) = row?;
            Record::decode(record_revision(&key)?, value.into())
        })
    }

    /// Rows whose key begins with `prefix`, in order.
    pub fn rows(&self, prefix: &[u8]) -> impl Iterator<Item = Result<Row, Error>> + '_ {
        let mut options = ReadOptions::default();
        if let Some(end) = after_prefix(prefix) {
            options.set_iterate_upper_bound(end);
        }
        let mode = IteratorMode::From(prefix, Direction::Forward);
        self.rocks
            .iterator_opt(mode, options)
            .map(|row| row.map_err(Error::from))
    }

    pub fn write(&self, batch: WriteBatch) -> Result<(), Error> {
        Ok(self.rocks.write_opt(batch, &self.write)?)
    }

    pub fn flush(&self) -> Result<(), Error> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.rocks.flush_opt(&options)?;
        self.check_background()
    }

    /// Ends flushes and compactions, those under way too; none is begun any more.
    pub fn cancel_background(&self) {
        self.rocks.cancel_all_background_work(true);
    }

    /// A flush or compaction that failed for good leaves the store unable to persist anything.
    pub fn check_background(&self) -> Result<(), Error> {
        match self
            .rocks
            .property_int_value(rocksdb::properties::BACKGROUND_ERRORS)?
        {
            Some(0) | None => Ok(()),
            Some(errors) => Err(Error::corrupt(format!(
                "{errors} background errors of the storage engine"
            ))),
        }
    }

    /// Files on disk and memtables, in bytes.
    pub fn bytes(&self) -> u64 {
        let read = |name| {
            self.rocks
                .property_int_value(name)
                .ok()
                .flatten()
                .unwrap_or(0)
        };
        read(rocksdb::properties::TOTAL_SST_FILES_SIZE)
            + read(rocksdb::properties::SIZE_ALL_MEM_TABLES)
    }

    /// Makes a copy of the flushed state in `dir`, by hard links.
    pub fn checkpoint(&self, dir: &Path) -> Result<(), Error> {
        Ok(rocksdb::checkpoint::Checkpoint::new(&self.rocks)?.create_checkpoint(dir)?)
    }

    /// The state of now, which later writes do not touch.
    pub fn snapshot(&self) -> rocksdb::Snapshot<'_> {
        self.rocks.snapshot()
    }

    /// Identity RocksDB gave this instance when it was created.
    pub fn identity(&self) -> Result<Vec<u8>, Error> {
        Ok(self.rocks.get_db_identity()?)
    }
}

/// Reads one row of a database that nobody has open, such as a checkpoint.
pub(crate) fn peek(dir: &Path, rows: &[&[u8]]) -> Result<Vec<Option<Bytes>>, Error> {
    let db = Db::open_to_read(dir)?;
    rows.iter().map(|row| db.get(row)).collect()
}

fn rocks_options(options: &Options) -> RocksOptions {
    let mut rocks = RocksOptions::default();
    rocks.create_if_missing(true);
    rocks.set_write_buffer_size(options.write_buffer_bytes);
    rocks.set_max_write_buffer_number(WRITE_BUFFERS);
    rocks.set_max_background_jobs(BACKGROUND_JOBS);
    rocks.set_max_open_files(OPEN_FILES_MAX);
    rocks.set_allow_concurrent_memtable_write(false);
    rocks.set_enable_write_thread_adaptive_yield(false);
    rocks.set_compression_type(DBCompressionType::Lz4);
    rocks.set_bytes_per_sync(1024 * 1024);
    rocks.set_stats_dump_period_sec(0);
    rocks.set_log_level(LogLevel::Warn);
    rocks.set_keep_log_file_num(INFO_LOGS);
    rocks.add_compact_on_deletion_collector_factory(
        DELETIONS_WINDOW,
        DELETIONS_TRIGGER,
        DELETIONS_RATIO,
    );
    let mut table = BlockBasedOptions::default();
    table.set_block_size(BLOCK_BYTES);
    table.set_block_cache(&Cache::new_lru_cache(options.block_cache_bytes));
    table.set_format_version(5);
    rocks.set_block_based_table_factory(&table);
    rocks
}

/// The first key after all that begin with `prefix`; none if there is no such key.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}
