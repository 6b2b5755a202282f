use bytes::Bytes;
use mainstay_proto::mvccpb::KeyValue;

use crate::Error;

/// The store at one revision, read in chunks. Pins nothing: a compaction beyond the revision
/// ends it with [`Error::Compacted`].
#[derive(Clone)]
pub struct View;

#[allow(unused_variables)]
impl View {
    pub fn revision(&self) -> i64 {
        todo!()
    }
    /// Revision of the store when the view was made.
    pub fn store_revision(&self) -> i64 {
        todo!()
    }
    /// At most `limit` (>0) records with `from <= key` and inside `range_end` (etcd's rules, but an empty end means one key). The next chunk
    /// starts at the last key plus a zero byte; fewer than `limit` means the end.
    pub fn range_chunk(
        &self,
        from: &[u8],
        range_end: &[u8],
        limit: usize,
        keys_only: bool,
    ) -> Result<Vec<KeyValue>, Error> {
        todo!()
    }
    pub fn count(&self, key: &[u8], range_end: &[u8]) -> Result<i64, Error> {
        todo!()
    }
    /// First key after `key`, for the next chunk.
    pub fn after(key: &[u8]) -> Bytes {
        todo!()
    }
}
