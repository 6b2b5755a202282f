use bytes::Bytes;
use mainstay_proto::{etcdserverpb::RangeRequest, mvccpb::KeyValue};

use crate::{Batch, Error, KeyMeta, RangeResult};

/// The writes of one put, delete or txn: one main revision, sub revisions in order. Dropped before
/// [`Mutation::finish`] it leaves nothing.
pub struct Mutation<'a> {
    batch: std::marker::PhantomData<&'a mut Batch<'a>>,
}

#[allow(unused_variables)]
impl Mutation<'_> {
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResult, Error> {
        todo!()
    }
    pub fn get(&self, key: &[u8]) -> Result<Option<KeyValue>, Error> {
        todo!()
    }
    pub fn key_meta(&self, key: &[u8]) -> Option<KeyMeta> {
        todo!()
    }
    /// Returns the record before, if the key existed; its value only with `want_value`.
    pub fn put(
        &mut self,
        key: &[u8],
        value: Bytes,
        lease: i64,
        want_value: bool,
    ) -> Result<Option<KeyValue>, Error> {
        todo!()
    }
    /// Returns the records deleted, in key order; their values only with `want_values`.
    pub fn delete_range(
        &mut self,
        key: &[u8],
        range_end: &[u8],
        want_values: bool,
    ) -> Result<Vec<KeyValue>, Error> {
        todo!()
    }
    pub fn current_revision(&self) -> i64 {
        todo!()
    }
    pub fn finish(self) -> i64 {
        todo!()
    }
}
