//! Removing what nobody can read any more, in the background.
//!
//! A compaction is decided in a batch and is in force from its commit on. Here only space is
//! returned: the records of the main revisions since the last compaction are walked once, and each
//! names by its link the record it supersedes. So the cost is what was written since, not what the
//! store holds. All of it may be done twice: after a crash it resumes from the progress row.
//!
//! Every record of the compact revision itself stays until the next compaction, tombstones too, so
//! that a watch from that revision still sees them.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex, RwLock};
use rocksdb::WriteBatch;

use crate::{
    Error, HashKv, hash,
    record::Record,
    revision::Revision,
    schema::{self, record_key},
    store::Inner,
};

/// Records looked at, and at most twice as many removed, in one step; writers wait for no more.
const STEP_RECORDS: usize = 512;
/// Index entries changed under one hold of its lock.
const STEP_INDEX: usize = 64;
/// Compactions that may wait; a later one takes the place of the last.
const JOBS_MAX: usize = 64;
/// Hashes of compactions kept for HashKV, as many as etcd keeps.
const HASHES_MAX: usize = 10;
/// Keys up to which a compaction computes etcd's hash of its revision. The hash reads the whole
/// store, so beyond this a compaction would no longer cost what it frees.
const HASHED_KEYS_MAX: u64 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Job {
    revision: i64,
    /// Compact revision before this one.
    previous: i64,
}

#[derive(Debug, Default)]
struct Work {
    jobs: VecDeque<Job>,
    hashes: VecDeque<HashKv>,
    /// Compact revision up to which everything is removed.
    done: i64,
    stop: bool,
    failed: bool,
}

/// What the background thread and the others share.
#[derive(Debug, Default)]
pub(crate) struct Compactor {
    work: Mutex<Work>,
    changed: Condvar,
    /// Held shared by whoever needs that nothing is removed for a while.
    gate: RwLock<()>,
}

impl Compactor {
    /// `done` is the progress row of the store.
    pub fn new(done: i64) -> Compactor {
        let work = Work {
            done,
            ..Work::default()
        };
        Compactor {
            work: Mutex::new(work),
            ..Compactor::default()
        }
    }

    pub fn submit(&self, revision: i64, previous: i64) {
        let mut work = self.work.lock();
        let full = work.jobs.len() >= JOBS_MAX;
        match work.jobs.back_mut() {
            Some(last) if full => last.revision = revision,
            _ => work.jobs.push_back(Job { revision, previous }),
        }
        self.changed.notify_all();
    }

    pub fn stop(&self) {
        self.work.lock().stop = true;
        self.changed.notify_all();
    }

    pub fn failed(&self) -> bool {
        self.work.lock().failed
    }

    fn stopped(&self) -> bool {
        self.work.lock().stop
    }

    /// While the guard lives no record is removed, whatever compactions are committed.
    pub fn hold(&self) -> parking_lot::RwLockReadGuard<'_, ()> {
        self.gate.read()
    }

    /// The hash a compaction to exactly this revision left.
    pub fn hash_of(&self, revision: i64) -> Option<HashKv> {
        let work = self.work.lock();
        work.hashes
            .iter()
            .find(|hash| hash.hash_revision == revision)
            .copied()
    }

    fn next(&self) -> Option<Job> {
        let mut work = self.work.lock();
        loop {
            if work.stop {
                return None;
            }
            if let Some(job) = work.jobs.pop_front() {
                return Some(job);
            }
            self.changed.wait(&mut work);
        }
    }

    fn keep_hash(&self, hash: HashKv) {
        let mut work = self.work.lock();
        work.hashes.push_back(hash);
        if work.hashes.len() > HASHES_MAX {
            work.hashes.pop_front();
        }
    }
}

/// Blocks until everything a compaction to `revision` frees is gone.
pub(crate) fn wait(inner: &Inner, revision: i64) -> Result<(), Error> {
    let mut work = inner.compactor.work.lock();
    loop {
        if work.done >= revision {
            return Ok(());
        }
        if work.failed || work.stop {
            return Err(Error::Failed);
        }
        inner.compactor.changed.wait(&mut work);
    }
}

/// The background thread. A failure stops it, and with it the writer.
pub(crate) fn run(inner: &Inner) {
    while let Some(job) = inner.compactor.next() {
        let result = compact(inner, job);
        let mut work = inner.compactor.work.lock();
        match result {
            Ok(true) => work.done = work.done.max(job.revision),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, revision = job.revision, "compaction failed");
                work.failed = true;
            }
        }
        drop(work);
        inner.compactor.changed.notify_all();
        if inner.compactor.failed() {
            return;
        }
    }
}

/// Returns whether it came to its end.
fn compact(inner: &Inner, job: Job) -> Result<bool, Error> {
    let keys = inner.shared.read().index.tree.len();
    if keys <= HASHED_KEYS_MAX {
        let hash = hash::compute(inner, job.revision, job.previous)?;
        let (compact_revision, hash_revision) = (job.previous, job.revision);
        inner.compactor.keep_hash(HashKv {
            hash,
            compact_revision,
            hash_revision,
        });
    }
    let walked = read_progress(inner)?;
    let mut next = Revision::new(walked.max(0), 0);
    loop {
        if inner.compactor.stopped() {
            return Ok(false);
        }
        let step = step(inner, walked, job.revision, next)?;
        match step {
            Some(after) => next = after,
            None => return Ok(true),
        }
    }
}

enum Removed {
    Version(Record, Revision),
    Tombstone(Record),
}

/// One step from `from` on. Returns where the next begins, or none at the end.
fn step(
    inner: &Inner,
    walked: i64,
    target: i64,
    from: Revision,
) -> Result<Option<Revision>, Error> {
    let mut batch = WriteBatch::default();
    let mut removed = Vec::new();
    let mut last = None;
    let mut seen = 0;
    for record in inner
        .db
        .records(from, Revision::last_of(target))
        .take(STEP_RECORDS)
    {
        let record = record?;
        (last, seen) = (Some(record.revision), seen + 1);
        // What the records of the revision reached last time supersede is gone already.
        if record.revision.main > walked
            && record.follows_value()
            && let Some(prev) = record.prev
        {
            batch.delete(record_key(prev));
            removed.push(Removed::Version(record.clone(), prev));
        }
        if record.tombstone && record.revision.main < target {
            batch.delete(record_key(record.revision));
            removed.push(Removed::Tombstone(record));
        }
    }
    let next = last
        .filter(|_| seen == STEP_RECORDS)
        .map(|r| Revision::new(r.main, r.sub + 1));
    // The main revision a step ends in may go on in the next one.
    let progress = next.map_or(target, |next| next.main - 1).max(walked);
    batch.put(schema::PROGRESS, progress.to_le_bytes());
    let _gate = inner.compactor.gate.write();
    inner.db.write(batch)?;
    inner.counters.compacted(removed.len() as u64);
    for some in removed.chunks(STEP_INDEX) {
        let index = &mut inner.shared.write().index;
        for removed in some {
            match removed {
                Removed::Version(by, gone) => index.forget_version(&by.key, *gone),
                Removed::Tombstone(gone) => index.forget_tombstone(&gone.key, gone.revision),
            }
        }
    }
    Ok(next)
}

/// Main revision up to which everything is removed; -1 in a store that was never compacted.
pub(crate) fn read_progress(inner: &Inner) -> Result<i64, Error> {
    progress(&inner.db)
}

pub(crate) fn progress(db: &crate::db::Db) -> Result<i64, Error> {
    match db.get(schema::PROGRESS)? {
        None => Ok(crate::revision::NEVER_COMPACTED),
        Some(bytes) => match <[u8; 8]>::try_from(&bytes[..]) {
            Ok(bytes) => Ok(i64::from_le_bytes(bytes)),
            Err(_) => Err(Error::corrupt("the progress row has the wrong length")),
        },
    }
}
