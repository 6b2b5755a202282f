//! Writing: several entries in one batch that becomes visible whole.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;
use mainstay_proto::{etcdserverpb::RangeRequest, mvccpb::KeyValue};
use rocksdb::WriteBatch;

use crate::{
    Change, Error, KeyMeta, Mutation, RangeResult,
    db::after_prefix,
    index::Latest,
    pending::{Pending, Write},
    range,
    reader::{Own, Reader},
    schema,
    state::State,
    store::{Handle, Inner},
};

/// The one writer of a store.
pub struct Writer {
    handle: Arc<Handle>,
    state: State,
    want_prev: bool,
    /// Set by a commit that failed: what RocksDB holds is unknown until the store is opened again.
    failed: bool,
    /// Encoding buffer, kept from record to record.
    buffer: Vec<u8>,
    #[cfg(feature = "planted-faults")]
    fault_split_applied: bool,
}

/// Writes on their way; reads in it see them, nobody else does before [`Batch::commit`].
pub struct Batch<'a> {
    writer: &'a mut Writer,
    core: Core,
    metas: BTreeMap<Bytes, Option<Bytes>>,
}

/// The part of a batch that mutations work on.
pub(crate) struct Core {
    pub pending: Pending,
    pub state: State,
    pub want_prev: bool,
    pub txns: u64,
}

impl Core {
    /// A reader that sees own writes up to `revision` and lets requests name `nameable` at most.
    pub fn reader<'a>(&'a self, inner: &'a Inner, revision: i64, nameable: i64) -> Reader<'a> {
        let (pending, compact) = (&self.pending, self.state.compact);
        Reader {
            inner,
            own: Some(Own {
                pending,
                revision,
                nameable,
                compact,
            }),
        }
    }
}

impl Writer {
    pub(crate) fn new(handle: Arc<Handle>, state: State) -> Writer {
        Writer {
            handle,
            state,
            want_prev: false,
            failed: false,
            buffer: Vec::new(),
            #[cfg(feature = "planted-faults")]
            fault_split_applied: false,
        }
    }

    #[cfg(feature = "planted-faults")]
    pub(crate) fn plant_split_applied(&mut self, planted: bool) {
        self.fault_split_applied = planted;
    }

    /// Begins a batch; a batch dropped without a commit leaves nothing.
    pub fn begin(&mut self) -> Batch<'_> {
        let (state, want_prev) = (self.state, self.want_prev);
        let core = Core {
            pending: Pending::default(),
            state,
            want_prev,
            txns: 0,
        };
        Batch {
            writer: self,
            core,
            metas: BTreeMap::new(),
        }
    }

    /// Whether changes carry the record before them although no request asked: watchers do.
    pub fn set_want_prev(&mut self, want: bool) {
        self.want_prev = want;
    }

    fn inner(&self) -> &Inner {
        &self.handle.inner
    }
}

impl Batch<'_> {
    /// The latest revision, own writes included.
    pub fn revision(&self) -> i64 {
        self.core.state.revision
    }

    pub fn compact_revision(&self) -> i64 {
        self.core.state.compact
    }

    fn now(&self) -> Reader<'_> {
        let revision = self.core.state.revision;
        self.core.reader(self.writer.inner(), revision, revision)
    }

    /// As [`crate::Store::range`], with own writes.
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

    /// Begins the writes of one put, delete or txn. They get the next revision, which is used up
    /// only if something is written.
    pub fn mutate(&mut self) -> Mutation<'_> {
        Mutation::new(&self.writer.handle.inner, &mut self.core)
    }

    /// Decides a compaction: from the commit on nothing below `revision` can be read, and the
    /// background thread removes what nobody can see any more.
    ///
    /// Errors: `Compacted` if it already is, `FutureRevision`.
    pub fn compact(&mut self, revision: i64) -> Result<(), Error> {
        if revision <= self.core.state.compact {
            return Err(Error::Compacted);
        }
        if revision > self.core.state.revision {
            return Err(Error::FutureRevision);
        }
        if let Some(dead) = self.dead_at(revision)? {
            self.core.state.accounting.compact(dead);
        }
        self.core.state.compact = revision;
        Ok(())
    }

    /// What the last record of `main` stores as freed by a compaction to it.
    fn dead_at(&self, main: i64) -> Result<Option<u64>, Error> {
        let inner = self.writer.inner();
        if main > inner.revision() {
            let writes = self.core.pending.writes();
            let last = writes.iter().rev().find(|w| w.record.revision.main <= main);
            return Ok(last.map(|w| w.record.dead));
        }
        match inner.db.last_record(main)? {
            Some(record) if record.revision.main == main => Ok(Some(record.dead)),
            // Revisions 0 and 1 have no records. Any other above the compact revision has.
            _ if main <= crate::revision::FIRST => Ok(None),
            _ => Err(Error::corrupt(format!("revision {main} has no record"))),
        }
    }

    /// Sets or (with `None`) deletes a row of the rooms above.
    pub fn put_meta(&mut self, key: Bytes, value: Option<Bytes>) {
        self.metas.insert(key, value);
    }

    pub fn meta(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.metas.get(key) {
            Some(own) => Ok(own.clone()),
            None => self.writer.inner().db.get(&schema::meta_key(key)),
        }
    }

    /// Rows whose key begins with `prefix`, in order, with own writes.
    pub fn meta_scan(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let mut rows = BTreeMap::new();
        for row in self.writer.inner().db.rows(&schema::meta_key(prefix)) {
            let (key, value) = schema::meta_row(row?);
            rows.insert(key, value);
        }
        let end = after_prefix(prefix);
        for (key, value) in self
            .metas
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
        {
            if end.as_ref().is_some_and(|end| key >= end) {
                break;
            }
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(rows.into_iter().collect())
    }

    /// Bytes of uncompacted records with own writes, for the quota; equal on every member.
    pub fn logical_bytes(&self) -> i64 {
        self.core.state.accounting.logical_bytes()
    }

    /// Writes everything with `applied` (opaque: what the batch was made of) in one RocksDB batch,
    /// then publishes index and revision. Returns the changes in order.
    ///
    /// After an error the writer takes no more: what was written is unknown.
    pub fn commit(self, applied: Bytes) -> Result<Vec<Change>, Error> {
        let Batch {
            writer,
            core,
            metas,
        } = self;
        let Core {
            pending,
            state,
            txns,
            ..
        } = core;
        if writer.failed || writer.inner().compactor.failed() {
            return Err(Error::Failed);
        }
        writer.failed = true;
        let mut batch = WriteBatch::default();
        for write in pending.writes() {
            writer.buffer.clear();
            write.record.encode(&mut writer.buffer);
            batch.put(schema::record_key(write.record.revision), &writer.buffer);
        }
        for (key, value) in metas {
            match value {
                Some(value) => batch.put(schema::meta_key(&key), value),
                None => batch.delete(schema::meta_key(&key)),
            }
        }
        if state != writer.state {
            batch.put(schema::STATE, state.encode());
        }
        writer.write(batch, &applied)?;
        let writes = pending.into_writes();
        let compacted = writer.state.compact;
        let inner = &writer.handle.inner;
        inner.publish(
            state.revision,
            state.compact,
            state.accounting.logical_bytes(),
            |index| {
                for write in &writes {
                    index.note(&write.record.key, write.latest);
                }
            },
        );
        writer.state = state;
        writer.failed = false;
        inner.compactor.committed(state.revision);
        if state.compact > compacted {
            inner.compactor.submit(state.compact, compacted);
        }
        let deletes = writes.iter().filter(|w| w.latest.tombstone()).count() as u64;
        inner
            .counters
            .writes(writes.len() as u64 - deletes, deletes, txns);
        Ok(writes.into_iter().map(Change::from).collect())
    }
}

impl Writer {
    #[cfg(not(feature = "planted-faults"))]
    fn write(&self, mut batch: WriteBatch, applied: &[u8]) -> Result<(), Error> {
        batch.put(schema::APPLIED, applied);
        self.inner().db.write(batch)
    }

    /// With the fault planted, a crash between the two writes forgets which entries were applied,
    /// and they are applied again.
    #[cfg(feature = "planted-faults")]
    fn write(&self, mut batch: WriteBatch, applied: &[u8]) -> Result<(), Error> {
        if !self.fault_split_applied {
            batch.put(schema::APPLIED, applied);
            return self.inner().db.write(batch);
        }
        self.inner().db.write(batch)?;
        self.inner().db.flush()?;
        let mut late = WriteBatch::default();
        late.put(schema::APPLIED, applied);
        self.inner().db.write(late)
    }
}

impl Latest {
    pub fn key_meta(&self) -> Option<KeyMeta> {
        (!self.tombstone()).then_some(KeyMeta {
            create_revision: self.create,
            mod_revision: self.main,
            version: self.version,
            lease: self.lease,
        })
    }
}

impl From<Write> for Change {
    fn from(write: Write) -> Change {
        let (revision, delete) = (write.record.revision, write.record.tombstone);
        Change {
            revision: revision.main,
            sub: revision.sub.into(),
            delete,
            kv: write.record.into_kv(),
            prev: write.before,
        }
    }
}
