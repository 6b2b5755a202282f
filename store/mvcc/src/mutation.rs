//! The writes of one put, delete or txn.

use bytes::Bytes;
use mainstay_proto::{etcdserverpb::RangeRequest, mvccpb::KeyValue};

use crate::{
    Error, KeyMeta, RangeResult,
    accounting::Accounting,
    batch::Core,
    range::{self, Bounds},
    reader::{Moment, Reader},
    record::Record,
    revision::Revision,
    store::Inner,
};

/// One main revision, sub revisions in order. Dropped before [`Mutation::finish`] it leaves
/// nothing, so a txn that fails midway is simply dropped.
pub struct Mutation<'a> {
    inner: &'a Inner,
    core: &'a mut Core,
    /// Writes of the batch when this began.
    first: usize,
    /// Totals when this began.
    before: Accounting,
    /// Revision its writes get.
    main: i64,
    finished: bool,
}

impl<'a> Mutation<'a> {
    pub(crate) fn new(inner: &'a Inner, core: &'a mut Core) -> Mutation<'a> {
        let (first, before) = (core.pending.len(), core.state.accounting);
        let main = core.state.revision + 1;
        core.state.accounting.begin_mutation();
        Mutation {
            inner,
            core,
            first,
            before,
            main,
            finished: false,
        }
    }

    fn written(&self) -> bool {
        self.core.pending.len() > self.first
    }

    fn now(&self) -> Reader<'_> {
        self.core
            .reader(self.inner, self.current_revision(), self.main - 1)
    }

    /// As [`crate::Store::range`], with own writes. The new revision itself cannot be named.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResult, Error> {
        range::range(&self.now(), request)
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<KeyValue>, Error> {
        let reader = self.now();
        match reader.latest(key).filter(|latest| !latest.tombstone()) {
            Some(latest) => reader.kv(key, &latest).map(Some),
            None => Ok(None),
        }
    }

    /// Reads no disk.
    pub fn key_meta(&self, key: &[u8]) -> Option<KeyMeta> {
        self.now().latest(key).and_then(|latest| latest.key_meta())
    }

    /// Writes a key and returns what it was before, if it existed: all from the index, its value
    /// only with `want_value`, which costs a read. `value` is copied at commit.
    pub fn put(
        &mut self,
        key: &[u8],
        value: Bytes,
        lease: i64,
        want_value: bool,
    ) -> Result<Option<KeyValue>, Error> {
        let reader = self.now();
        let known = reader.latest(key);
        let alive = known.filter(|latest| !latest.tombstone());
        let want_value = want_value || self.core.want_prev;
        let key = Bytes::copy_from_slice(key);
        let before = match &alive {
            Some(latest) if want_value => Some(reader.kv(&key, latest)?),
            Some(latest) => Some(KeyValue {
                lease: latest.lease,
                ..latest.bare_kv(key.clone())
            }),
            None => None,
        };
        let accounting = &mut self.core.state.accounting;
        let value_len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        accounting.put(key.len(), value_len, alive.map(|latest| latest.value_len));
        let record = Record {
            revision: self.next(),
            key,
            value,
            create: alive.map_or(self.main, |latest| latest.create),
            version: alive.map_or(1, |latest| latest.version.saturating_add(1)),
            lease,
            tombstone: false,
            prev: known.map(|latest| latest.revision()),
            dead: self.core.state.accounting.dead(),
        };
        self.core
            .pending
            .push(record, before.clone().filter(|_| want_value));
        Ok(before)
    }

    /// Deletes the keys of a range (bounds as in a range request) and returns what they were, in
    /// key order: all from the index, their values only with `want_values`.
    pub fn delete_range(
        &mut self,
        key: &[u8],
        range_end: &[u8],
        want_values: bool,
    ) -> Result<Vec<KeyValue>, Error> {
        let bounds = Bounds::new(key, range_end);
        let want_values = want_values || self.core.want_prev;
        let reader = self.now();
        let current = self.current_revision();
        let moment = Moment {
            current,
            main: current,
        };
        let hits = reader.gather(&bounds, &moment, usize::MAX)?;
        let states: Vec<_> = hits.iter().map(|hit| hit.latest).collect();
        let before: Vec<KeyValue> = match want_values {
            true => reader.fetch(hits, &moment)?,
            false => hits.into_iter().map(|hit| hit.into_leased_kv()).collect(),
        };
        for (kv, latest) in before.iter().zip(states) {
            self.core
                .state
                .accounting
                .delete(kv.key.len(), Some(latest.value_len));
            let record = Record {
                revision: self.next(),
                key: Bytes::copy_from_slice(&kv.key),
                value: Bytes::new(),
                create: 0,
                version: 0,
                lease: 0,
                tombstone: true,
                prev: Some(latest.revision()),
                dead: self.core.state.accounting.dead(),
            };
            self.core
                .pending
                .push(record, want_values.then(|| kv.clone()));
        }
        Ok(before)
    }

    fn next(&self) -> Revision {
        let sub = self.core.pending.len() - self.first;
        // A sub revision counts writes of one entry, whose size is limited far below this.
        Revision::new(self.main, u32::try_from(sub).unwrap_or(u32::MAX))
    }

    /// The new revision once something has been written, before that the one before.
    pub fn current_revision(&self) -> i64 {
        if self.written() {
            self.main
        } else {
            self.main - 1
        }
    }

    /// Keeps the writes. Returns the revision, which is unchanged if there are none.
    pub fn finish(mut self) -> i64 {
        self.finished = true;
        self.core.state.revision = self.current_revision();
        self.core.txns += u64::from(self.core.pending.len() - self.first > 1);
        self.core.state.revision
    }
}

impl Drop for Mutation<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.core.pending.truncate(self.first);
            self.core.state.accounting = self.before;
        }
    }
}
