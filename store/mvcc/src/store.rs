use bytes::Bytes;
use mainstay_proto::etcdserverpb::RangeRequest;
use std::path::{Path, PathBuf};

use crate::{Change, Error, HashKv, RangeResult, Size, SnapshotInfo, Stats, View, Writer};

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

/// The latest state of a living key, as far as the index knows it (no value).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyMeta {
    pub create_revision: i64,
    pub mod_revision: i64,
    pub version: i64,
    /// 0 for none.
    pub lease: i64,
}

/// The readers' side; cheap to clone.
#[derive(Clone)]
pub struct Store;

#[allow(unused_variables)]
impl Store {
    pub fn open(options: Options) -> Result<(Store, Writer), Error> {
        todo!()
    }
    pub fn revision(&self) -> i64 {
        todo!()
    }
    pub fn compact_revision(&self) -> i64 {
        todo!()
    }
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResult, Error> {
        todo!()
    }
    pub fn pin(&self, revision: i64) -> Result<View, Error> {
        todo!()
    }
    pub fn history(
        &self,
        from: i64,
        to: i64,
        bytes_max: usize,
        want_prev: bool,
    ) -> Result<Vec<Change>, Error> {
        todo!()
    }
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, Error> {
        todo!()
    }
    pub fn hash(&self) -> Result<u32, Error> {
        todo!()
    }
    pub fn size(&self) -> Size {
        todo!()
    }
    pub fn flushed_applied(&self) -> Result<Option<Bytes>, Error> {
        todo!()
    }
    pub fn applied(&self) -> Result<Option<Bytes>, Error> {
        todo!()
    }
    pub fn flush(&self) -> Result<(), Error> {
        todo!()
    }
    pub fn meta(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        todo!()
    }
    pub fn meta_scan(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, Error> {
        todo!()
    }
    pub fn snapshot_to(&self, dir: &Path) -> Result<SnapshotInfo, Error> {
        todo!()
    }
    pub fn key_meta(&self, key: &[u8]) -> Option<KeyMeta> {
        todo!()
    }
    /// Every living key that has a lease, for the lessor at open.
    pub fn leased_keys(&self) -> Vec<(i64, Bytes)> {
        todo!()
    }
    pub fn stats(&self) -> Stats {
        todo!()
    }
    /// Blocks until everything below `revision` is physically removed.
    pub fn wait_compacted(&self, revision: i64) -> Result<(), Error> {
        todo!()
    }
}
