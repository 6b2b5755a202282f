//! Removing what nobody can read any more, in the background.
//!
//! A compaction is decided in a batch and is in force from its commit on. Here only space is
//! returned: the records of the main revisions since the last compaction are walked once, and each
//! names by its link the record it supersedes. So the cost is what was written since, not what the
//! store holds. All of it may be done twice: after a crash it resumes from the progress row.
//!
//! Every record of the compact revision itself stays until the next compaction, tombstones too, so
//! that a watch from that revision still sees them.

use std::{
    collections::VecDeque,
    fmt,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
};

use parking_lot::{Condvar, Mutex, RwLock};
use rocksdb::WriteBatch;

use crate::{
    Error, HashKv,
    db::Db,
    hash,
    index::checkpoint,
    record::Record,
    revision::{NEVER_COMPACTED, Revision},
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

/// Revisions after which the index is copied to disk anew, and the share of the keys that many
/// more must be: replaying them at a start then costs about as much as reading the copy.
const COPY_REVISIONS_MIN: i64 = 100_000;
const COPY_KEYS_SHARE: i64 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Job {
    revision: i64,
    /// Compact revision before this one.
    previous: i64,
    /// Begun before the process was: some of what its hash is made of may be gone.
    resumed: bool,
}

/// How far removal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// What records up to this main revision supersede is gone.
    pub versions: i64,
    /// Tombstones below this main revision are gone.
    pub tombstones: i64,
}

#[derive(Debug, Default)]
struct Work {
    jobs: VecDeque<Job>,
    hashes: VecDeque<HashKv>,
    /// Compact revision up to which everything is removed.
    done: i64,
    /// Copies of the index asked for and made.
    copies_wanted: u64,
    copies_made: u64,
    stop: bool,
    failed: bool,
    waiting: Waiting,
}

/// Told once everything that a compaction frees is gone; dropped if that will not come.
type Compacted = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Who waits for which compact revision.
#[derive(Default)]
struct Waiting(Vec<(i64, Compacted)>);

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Waiting").field(&self.0.len()).finish()
    }
}

/// What the background thread and the others share.
#[derive(Debug, Default)]
pub(crate) struct Compactor {
    work: Mutex<Work>,
    changed: Condvar,
    /// Held shared by whoever needs that nothing is removed for a while.
    gate: RwLock<()>,
    failed: AtomicBool,
    /// Database to copy the index of, if it is copied at all.
    database: Option<PathBuf>,
    /// Revision the newest durable copy of the index holds for; none after it may lose tombstones.
    copied: AtomicI64,
    /// Revision at which the next copy is due.
    copy_due: AtomicI64,
}

/// In place of the revision of a copy where there is none.
const NO_COPY: i64 = i64::MAX;

impl Compactor {
    /// `copied` is the revision of the copy of the index that was read at the start.
    pub fn new(progress: Progress, database: Option<PathBuf>, copied: Option<i64>) -> Compactor {
        let work = Work {
            done: progress.versions,
            ..Work::default()
        };
        let due = match (&database, copied) {
            (None, _) => i64::MAX,
            (Some(_), None) => COPY_REVISIONS_MIN,
            (Some(_), Some(copied)) => copied + COPY_REVISIONS_MIN,
        };
        Compactor {
            work: Mutex::new(work),
            database,
            copied: AtomicI64::new(copied.unwrap_or(NO_COPY)),
            copy_due: AtomicI64::new(due),
            ..Compactor::default()
        }
    }

    /// Tells of a commit, after which a copy of the index may be due.
    pub fn committed(&self, revision: i64) {
        if revision >= self.copy_due.load(Ordering::Relaxed) {
            self.copy_due.store(i64::MAX, Ordering::Relaxed);
            self.want_copy();
        }
    }

    fn want_copy(&self) -> u64 {
        let mut work = self.work.lock();
        work.copies_wanted += 1;
        self.changed.notify_all();
        work.copies_wanted
    }

    pub fn submit(&self, revision: i64, previous: i64) {
        let mut work = self.work.lock();
        let full = work.jobs.len() >= JOBS_MAX;
        match work.jobs.back_mut() {
            Some(last) if full => last.revision = revision,
            _ => work.jobs.push_back(Job {
                revision,
                previous,
                resumed: false,
            }),
        }
        self.changed.notify_all();
    }

    /// Goes on with a compaction that had not come to its end when the process did.
    pub fn resume(&self, revision: i64, previous: i64) {
        let mut work = self.work.lock();
        work.jobs.push_back(Job {
            revision,
            previous,
            resumed: true,
        });
        self.changed.notify_all();
    }

    pub fn stop(&self) {
        let waiting = {
            let mut work = self.work.lock();
            work.stop = true;
            std::mem::take(&mut work.waiting)
        };
        drop(waiting);
        self.changed.notify_all();
    }

    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
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

    /// The hashes that the last compactions left, the newest first.
    pub fn hashes(&self) -> Vec<HashKv> {
        let mut hashes: Vec<HashKv> = self.work.lock().hashes.iter().copied().collect();
        hashes.sort_by_key(|hash| std::cmp::Reverse(hash.hash_revision));
        hashes
    }

    fn next(&self) -> Option<Task> {
        let mut work = self.work.lock();
        loop {
            if work.stop {
                return None;
            }
            if let Some(job) = work.jobs.pop_front() {
                return Some(Task::Compact(job));
            }
            if work.copies_made < work.copies_wanted {
                return Some(Task::Copy(work.copies_wanted));
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

/// Calls `told` once everything a compaction to `revision` frees is gone.
pub(crate) fn when_done(inner: &Inner, revision: i64, told: Compacted) {
    let mut work = inner.compactor.work.lock();
    if work.done >= revision {
        drop(work);
        told(Ok(()));
    } else if work.failed || work.stop {
        drop(work);
        told(Err(Error::Failed));
    } else {
        work.waiting.0.push((revision, told));
    }
}

/// Those whose waiting is over.
fn over(work: &mut Work) -> Vec<Compacted> {
    let (done, failed) = (work.done, work.failed);
    let waiting = &mut work.waiting.0;
    waiting
        .extract_if(.., |(revision, _)| failed || *revision <= done)
        .map(|(_, told)| told)
        .collect()
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

/// Blocks until the index as it is now has been copied to disk.
pub(crate) fn copy_index(inner: &Inner) -> Result<(), Error> {
    if inner.compactor.database.is_none() {
        return Ok(());
    }
    let wanted = inner.compactor.want_copy();
    let mut work = inner.compactor.work.lock();
    while work.copies_made < wanted {
        if work.failed || work.stop {
            return Err(Error::Failed);
        }
        inner.compactor.changed.wait(&mut work);
    }
    Ok(())
}

enum Task {
    Compact(Job),
    /// Copies the index, which answers so many requests to.
    Copy(u64),
}

/// The background thread. A failure stops it, and with it the writer.
pub(crate) fn run(inner: &Inner) {
    while let Some(task) = inner.compactor.next() {
        let result = match &task {
            Task::Compact(job) => compact(inner, *job),
            Task::Copy(_) => copy(inner),
        };
        let mut work = inner.compactor.work.lock();
        match (result, task) {
            (Ok(true), Task::Compact(job)) => work.done = work.done.max(job.revision),
            (Ok(_), Task::Copy(wanted)) => work.copies_made = wanted,
            (Ok(false), _) => {}
            (Err(error), _) => {
                tracing::error!(%error, "the store's background work failed");
                work.failed = true;
                inner.compactor.failed.store(true, Ordering::Release);
            }
        }
        let over = over(&mut work);
        drop(work);
        inner.compactor.changed.notify_all();
        let failed = inner.compactor.failed();
        for told in over {
            told(if failed { Err(Error::Failed) } else { Ok(()) });
        }
        if failed {
            return;
        }
    }
}

/// Copies the index, then removes the tombstones that waited for it.
fn copy(inner: &Inner) -> Result<bool, Error> {
    let Some(database) = &inner.compactor.database else {
        return Ok(true);
    };
    let copied = checkpoint::write(inner, database)?;
    inner.compactor.copied.store(copied, Ordering::Release);
    let keys = inner.shared.read().index.tree.len() as i64;
    let due = copied + COPY_REVISIONS_MIN.max(keys / COPY_KEYS_SHARE);
    inner.compactor.copy_due.store(due, Ordering::Relaxed);
    let progress = progress(&inner.db)?;
    // Versions up to here are gone, so tombstones below it may go if the copy knows them.
    remove(inner, progress.versions)
}

/// Returns whether it came to its end.
fn compact(inner: &Inner, job: Job) -> Result<bool, Error> {
    let keys = inner.shared.read().index.tree.len();
    if keys <= HASHED_KEYS_MAX && !job.resumed {
        inner
            .compactor
            .keep_hash(hash::of_compaction(inner, job.revision, job.previous)?);
    }
    remove(inner, job.revision)
}

/// Removes what a compaction to `target` frees and is not gone yet.
fn remove(inner: &Inner, target: i64) -> Result<bool, Error> {
    let mut progress = progress(&inner.db)?;
    let copied = inner.compactor.copied.load(Ordering::Acquire);
    let tombstones = target.min(copied.saturating_add(1));
    if progress.versions >= target && progress.tombstones >= tombstones {
        return Ok(true);
    }
    let until = Progress {
        versions: target,
        tombstones,
    };
    let mut next = Revision::new(progress.versions.min(progress.tombstones).max(0), 0);
    loop {
        if inner.compactor.stopped() {
            return Ok(false);
        }
        match step(inner, &mut progress, until, next)? {
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
    progress: &mut Progress,
    until: Progress,
    from: Revision,
) -> Result<Option<Revision>, Error> {
    let mut batch = WriteBatch::default();
    let (mut removed, mut last, mut seen) = (Vec::new(), None, 0);
    for record in inner
        .db
        .records(from, Revision::last_of(until.versions))
        .take(STEP_RECORDS)
    {
        let record = record?;
        (last, seen) = (Some(record.revision), seen + 1);
        if record.revision.main > progress.versions
            && record.follows_value()
            && let Some(prev) = record.prev
        {
            batch.delete(record_key(prev));
            removed.push(Removed::Version(record.clone(), prev));
        }
        if record.tombstone && record.revision.main < until.tombstones {
            batch.delete(record_key(record.revision));
            removed.push(Removed::Tombstone(record));
        }
    }
    let next = last
        .filter(|_| seen == STEP_RECORDS)
        .map(|r| Revision::new(r.main, r.sub + 1));
    // The main revision a step ends in may go on in the next one.
    let reached = next.map_or(until.versions, |next| next.main - 1);
    let after = Progress {
        versions: progress.versions.max(reached),
        tombstones: progress.tombstones.max(until.tombstones.min(reached + 1)),
    };
    batch.put(schema::PROGRESS, after.encode());
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
    *progress = after;
    Ok(next)
}

impl Progress {
    pub fn encode(&self) -> Vec<u8> {
        [self.versions.to_le_bytes(), self.tombstones.to_le_bytes()].concat()
    }

    /// A store that was never compacted has no row.
    pub fn decode(row: Option<&[u8]>) -> Result<Progress, Error> {
        let Some(row) = row else {
            return Ok(Progress {
                versions: NEVER_COMPACTED,
                tombstones: NEVER_COMPACTED,
            });
        };
        let wrong = || Error::corrupt("the progress row has the wrong length");
        let (versions, tombstones) = row.split_first_chunk::<8>().ok_or_else(wrong)?;
        let tombstones = <[u8; 8]>::try_from(tombstones).map_err(|_| wrong())?;
        Ok(Progress {
            versions: i64::from_le_bytes(*versions),
            tombstones: i64::from_le_bytes(tombstones),
        })
    }
}

/// Reads the progress row.
pub(crate) fn progress(db: &Db) -> Result<Progress, Error> {
    Progress::decode(db.get(schema::PROGRESS)?.as_deref())
}
