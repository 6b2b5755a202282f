//! The readers' side of a store, and what both sides share.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread::JoinHandle,
};

use bytes::Bytes;
use mainstay_proto::etcdserverpb::RangeRequest;
use parking_lot::RwLock;

use crate::{
    Change, Error, HashKv, RangeResult, Size, SnapshotInfo, Stats, View, Writer,
    compaction::{self, Compactor},
    db::Db,
    hash, history,
    index::Index,
    range,
    reader::Reader,
    schema, snapshot,
    stats::Counters,
};

/// Bytes of block cache unless told otherwise.
const BLOCK_CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of a memtable unless told otherwise.
const WRITE_BUFFER_BYTES: usize = 32 * 1024 * 1024;
/// Times a read of the latest revision begins anew because a compaction overtook it. Each time
/// takes writes and a compaction beyond them within one read, so a second time is rare.
const OVERTAKEN_MAX: usize = 16;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of the store; created when missing. Holds nothing else.
    pub dir: PathBuf,
    /// Whether a sorted copy of the index is kept on disk, so that the next start is quick.
    pub checkpoint: bool,
    /// Bytes of RocksDB's cache of uncompressed blocks.
    pub block_cache_bytes: usize,
    /// Bytes of one memtable; a full one is flushed by itself.
    pub write_buffer_bytes: usize,
    /// Proves that the chaos tests notice: the applied blob is written after its effects.
    #[cfg(feature = "planted-faults")]
    pub fault_split_applied: bool,
}

impl Options {
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        Options {
            dir: dir.into(),
            checkpoint: true,
            block_cache_bytes: BLOCK_CACHE_BYTES,
            write_buffer_bytes: WRITE_BUFFER_BYTES,
            #[cfg(feature = "planted-faults")]
            fault_split_applied: false,
        }
    }
}

/// The latest state of a living key, as far as the index knows it (no value).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyMeta {
    pub create_revision: i64,
    pub mod_revision: i64,
    pub version: i64,
    /// 0 for none.
    pub lease: i64,
}

/// What a commit publishes at once; a reader that holds the lock sees all of it or none.
#[derive(Debug)]
pub(crate) struct Shared {
    pub index: Index,
    pub revision: i64,
    pub compact: i64,
}

pub(crate) struct Inner {
    pub db: Db,
    pub shared: RwLock<Shared>,
    pub compactor: Compactor,
    pub counters: Counters,
    revision: AtomicI64,
    compact: AtomicI64,
    logical_bytes: AtomicI64,
}

impl Inner {
    pub fn new(db: Db, shared: Shared, compactor: Compactor, logical_bytes: i64) -> Inner {
        Inner {
            revision: AtomicI64::new(shared.revision),
            compact: AtomicI64::new(shared.compact),
            logical_bytes: AtomicI64::new(logical_bytes),
            counters: Counters::default(),
            compactor,
            db,
            shared: RwLock::new(shared),
        }
    }

    pub fn revision(&self) -> i64 {
        self.revision.load(Ordering::Acquire)
    }

    pub fn compact(&self) -> i64 {
        self.compact.load(Ordering::Acquire)
    }

    /// Makes a commit visible: index, then revision, under one hold of the lock.
    pub fn publish(
        &self,
        revision: i64,
        compact: i64,
        logical: i64,
        fill: impl FnOnce(&mut Index),
    ) {
        let mut shared = self.shared.write();
        fill(&mut shared.index);
        shared.revision = revision;
        shared.compact = compact;
        self.revision.store(revision, Ordering::Release);
        self.compact.store(compact, Ordering::Release);
        self.logical_bytes.store(logical, Ordering::Release);
    }
}

/// What the handles own together. The last one to go stops the background thread.
pub(crate) struct Handle {
    pub inner: Arc<Inner>,
    pub thread: Option<JoinHandle<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.compactor.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's background thread has panicked");
        }
    }
}

/// The readers' side; cheap to clone.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Handle>);

impl Store {
    /// Opens or creates the store in `options.dir`, follows the pointer a snapshot install left
    /// and removes what an interrupted one did. The store must not be open elsewhere.
    pub fn open(options: Options) -> Result<(Store, Writer), Error> {
        crate::open::open(options)
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0.inner
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader {
            inner: self.inner(),
            own: None,
        }
    }

    /// The latest revision; 1 when nothing was ever written.
    pub fn revision(&self) -> i64 {
        self.inner().revision()
    }

    /// -1 when the store was never compacted.
    pub fn compact_revision(&self) -> i64 {
        self.inner().compact()
    }

    /// Answers every field of the request but `serializable`.
    ///
    /// Errors: `Compacted`, `FutureRevision`, and failures of the store.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResult, Error> {
        self.inner().counters.range();
        for _ in 0..OVERTAKEN_MAX {
            match range::range(&self.reader(), request) {
                Err(Error::Compacted) if request.revision <= 0 => {}
                result => return result,
            }
        }
        Err(Error::Compacted)
    }

    /// Pins a revision (0 or less: the latest) to read it in chunks.
    pub fn pin(&self, revision: i64) -> Result<View, Error> {
        let moment = self.reader().moment(revision)?;
        Ok(View::new(self.clone(), moment))
    }

    /// Changes with a main revision from `from` to `to`, both inclusive, in order and in whole
    /// revisions: it stops after the revision that passes `bytes_max` of keys and values, and
    /// returns at least one if there is any. `to` may lie in the future.
    ///
    /// `want_prev` adds the record before each change, which costs a read each. Errors:
    /// `Compacted` if `from` is below the compact revision.
    pub fn history(
        &self,
        from: i64,
        to: i64,
        bytes_max: usize,
        want_prev: bool,
    ) -> Result<Vec<Change>, Error> {
        history::history(self.inner(), from, to, bytes_max, want_prev)
    }

    /// etcd's HashKV; 0 is the latest revision.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, Error> {
        hash::hash_kv(self.inner(), revision)
    }

    /// HashKV of the revisions that were compacted to since the store was opened, the newest
    /// first and not many of them.
    pub fn compaction_hashes(&self) -> Vec<HashKv> {
        self.inner().compactor.hashes()
    }

    /// CRC-32C of all rows of the store; differs between members that hold the same keys.
    pub fn hash(&self) -> Result<u32, Error> {
        hash::hash(self.inner())
    }

    pub fn size(&self) -> Size {
        Size {
            files_bytes: i64::try_from(self.inner().db.bytes()).unwrap_or(i64::MAX),
            logical_bytes: self.inner().logical_bytes.load(Ordering::Acquire),
        }
    }

    /// What the last commit said it was made of, flushed or not.
    pub fn applied(&self) -> Result<Option<Bytes>, Error> {
        self.inner().db.get(schema::APPLIED)
    }

    /// What the last flushed commit said it was made of. The raft log beyond it must be kept.
    pub fn flushed_applied(&self) -> Result<Option<Bytes>, Error> {
        self.inner().db.get_flushed(schema::APPLIED)
    }

    /// Makes everything committed before the call durable. Blocks on the disk.
    pub fn flush(&self) -> Result<(), Error> {
        self.inner().db.flush()
    }

    pub fn meta(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.inner().db.get(&schema::meta_key(key))
    }

    /// Rows of the rooms above whose key begins with `prefix`, in order.
    pub fn meta_scan(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let prefix = schema::meta_key(prefix);
        let rows = self.inner().db.rows(&prefix);
        rows.map(|row| row.map(schema::meta_row)).collect()
    }

    /// Copies the flushed state into `dir`, which must not exist, by hard links where it can.
    pub fn snapshot_to(&self, dir: &Path) -> Result<SnapshotInfo, Error> {
        snapshot::snapshot_to(self.inner(), dir)
    }

    pub fn key_meta(&self, key: &[u8]) -> Option<KeyMeta> {
        self.reader()
            .latest(key)
            .and_then(|latest| latest.key_meta())
    }

    /// Every living key that has a lease, for the lessor at open.
    pub fn leased_keys(&self) -> Vec<(i64, Bytes)> {
        let mut leased = Vec::new();
        let shared = self.inner().shared.read();
        shared.index.tree.walk(&[], None, true, |key, latest| {
            if latest.lease != 0 {
                leased.push((latest.lease, Bytes::copy_from_slice(key)));
            }
            ControlFlow::Continue(())
        });
        leased
    }

    pub fn stats(&self) -> Stats {
        let (keys, revision, compact_revision) = {
            let shared = self.inner().shared.read();
            (
                shared.index.tree.live() as i64,
                shared.revision,
                shared.compact,
            )
        };
        self.inner()
            .counters
            .stats(keys, revision, compact_revision)
    }

    /// Copies the index to disk now instead of when it is due, so that the next start is quick.
    /// Blocks until it is durable; does nothing if the store was opened without a copy.
    pub fn checkpoint_index(&self) -> Result<(), Error> {
        compaction::copy_index(self.inner())
    }

    /// Calls `told` once everything a compaction to `revision` frees is gone: at once if it is,
    /// else from the background thread, which must not be kept. Dropped without a call if the store
    /// is closed before.
    pub fn when_compacted(
        &self,
        revision: i64,
        told: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        compaction::when_done(self.inner(), revision, Box::new(told));
    }

    /// Ends the work in the background, of RocksDB too, and leaves the store readable: its files
    /// are about to be replaced. Blocks until that work has ended.
    pub fn retire(&self) {
        self.inner().compactor.stop();
        self.inner().db.cancel_background();
    }

    /// Blocks until everything a compaction to `revision` frees is removed. The compaction must
    /// have been committed.
    pub fn wait_compacted(&self, revision: i64) -> Result<(), Error> {
        compaction::wait(self.inner(), revision)
    }
}
