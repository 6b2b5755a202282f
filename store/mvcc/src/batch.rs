use bytes::Bytes;
use mainstay_proto::{etcdserverpb::RangeRequest, mvccpb::KeyValue};

use crate::{Change, Error, KeyMeta, Mutation, RangeResult};

/// The one writer of a store.
pub struct Writer;
pub struct Batch<'a> {
    pub(crate) writer: &'a mut Writer,
}

#[allow(unused_variables)]
impl Writer {
    pub fn begin(&mut self) -> Batch<'_> {
        todo!()
    }
    /// Whether changes carry the record before them although no request asked (watchers do).
    pub fn set_want_prev(&mut self, want: bool) {
        todo!()
    }
}

#[allow(unused_variables)]
impl Batch<'_> {
    pub fn revision(&self) -> i64 {
        todo!()
    }
    pub fn compact_revision(&self) -> i64 {
        todo!()
    }
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResult, Error> {
        todo!()
    }
    pub fn get(&self, key: &[u8]) -> Result<Option<KeyValue>, Error> {
        todo!()
    }
    pub fn key_meta(&self, key: &[u8]) -> Option<KeyMeta> {
        todo!()
    }
    pub fn mutate(&mut self) -> Mutation<'_> {
        todo!()
    }
    /// Errors: `Compacted` (revision <= compact revision), `FutureRevision`.
    pub fn compact(&mut self, revision: i64) -> Result<(), Error> {
        todo!()
    }
    pub fn put_meta(&mut self, key: Bytes, value: Option<Bytes>) {
        todo!()
    }
    pub fn meta(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        todo!()
    }
    pub fn meta_scan(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, Error> {
        todo!()
    }
    pub fn logical_bytes(&self) -> i64 {
        todo!()
    }
    pub fn commit(self, applied: Bytes) -> Result<Vec<Change>, Error> {
        todo!()
    }
}
