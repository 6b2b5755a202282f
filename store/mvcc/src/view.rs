//! One revision, read in chunks.

use bytes::Bytes;
use mainstay_proto::mvccpb::KeyValue;

use crate::{
    Error, Store,
    range::Bounds,
    reader::{Hit, Moment},
};

/// The store at one revision. It holds nothing back: a compaction beyond the revision ends it with
/// [`Error::Compacted`].
#[derive(Clone)]
pub struct View {
    store: Store,
    moment: Moment,
}

impl View {
    pub(crate) fn new(store: Store, moment: Moment) -> View {
        View { store, moment }
    }

    pub fn revision(&self) -> i64 {
        self.moment.main
    }

    /// Revision of the store when the view was made.
    pub fn store_revision(&self) -> i64 {
        self.moment.current
    }

    /// At most `limit` records from `from` on, bounded by `range_end` as in a range request (empty
    /// means the one key). Fewer than `limit` are the last; else the next chunk begins at
    /// [`View::after`] the last key. With `keys_only` value and lease are left out.
    ///
    /// Errors: `Compacted`, also when a compaction overtook this very chunk.
    pub fn range_chunk(
        &self,
        from: &[u8],
        range_end: &[u8],
        limit: usize,
        keys_only: bool,
    ) -> Result<Vec<KeyValue>, Error> {
        let reader = self.store.reader();
        let hits = reader.gather(&Bounds::new(from, range_end), &self.moment, limit)?;
        let kvs = match keys_only {
            true => hits.into_iter().map(Hit::into_bare_kv).collect(),
            false => reader.fetch(hits, &self.moment)?,
        };
        reader.check(&self.moment)?;
        Ok(kvs)
    }

    /// Keys in the range at this revision.
    pub fn count(&self, key: &[u8], range_end: &[u8]) -> Result<i64, Error> {
        let reader = self.store.reader();
        let count = reader.count(&Bounds::new(key, range_end), &self.moment)?;
        reader.check(&self.moment)?;
        Ok(count as i64)
    }

    /// The first key after `key`.
    pub fn after(key: &[u8]) -> Bytes {
        [key, &[0]].concat().into()
    }
}
