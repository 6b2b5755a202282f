//! `mainstay import`: a new data directory of that of a stopped etcd member.
//!
//! The database of a member lags behind its log: it holds what has been applied and written down
//! in batches. What the log has beyond it is applied here as a member would apply it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use mainstay_apply::{
    AppliedEntry, AppliedState, Applier, ApplyOptions, EntryPayload, LogPosition, Waiters, encode,
};
use mainstay_auth::Auth;
use mainstay_lease::Leases;
use mainstay_mvcc::{Options, Store};
use mainstay_snapshot::{LogEntry, LogTail, Origin, origin, read_log_tail};
use mainstay_watch::{HeaderIds, Hub};
use rustix::fs::{FlockOperation, flock};

use super::NewCluster;
use super::new_dir::NewDir;
use super::restore::{open, report};

/// What was accepted there is taken in here.
const NO_QUOTA: i64 = -1;

/// Entries applied in one batch.
const BATCH_ENTRIES: usize = 256;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The stopped member's data directory.
    #[arg(long)]
    from_data_dir: PathBuf,
    /// The stopped member's log, where it is not inside its data directory.
    #[arg(long)]
    from_wal_dir: Option<PathBuf>,
    #[command(flatten)]
    cluster: NewCluster,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let member = arguments.from_data_dir.join("member");
    let path = member.join("snap/db");
    let named = || path.display().to_string();
    let file = open(&path)?;
    lock(&file, &path)?;
    let origin = origin(file.try_clone()?).with_context(named)?;
    let log = arguments.from_wal_dir.clone();
    let log = log.unwrap_or_else(|| member.join("wal"));
    let tail = read_log_tail(&log, origin.index).with_context(|| log.display().to_string())?;
    let entries = decided(&origin, tail);
    let dir = NewDir::begin(&arguments.cluster)?;
    let options = Options::new(dir.store());
    let begin = match entries.is_empty() {
        true => dir.applied.clone(),
        false => AppliedState {
            log: Some(LogPosition {
                term: origin.term,
                index: origin.index,
            }),
            membership: None,
        },
    };
    let mut imported =
        mainstay_snapshot::import(file, &options, &begin, None).with_context(named)?;
    if !entries.is_empty() {
        let store = apply(&options, &entries)?;
        println!("applied {} entries of the log", entries.len());
        imported.revision = store.revision();
        imported.keys = u64::try_from(store.stats().keys).unwrap_or(0);
        drop(store);
        found(&options, &dir.applied)?;
    }
    report(&dir, &imported);
    dir.finish()
}

/// The entries that count. A member that is its own quorum has decided all that it has; of others
/// only what they know to be decided counts, and what else there is may have been answered for
/// by the rest of the cluster, so it is said.
fn decided(origin: &Origin, mut tail: LogTail) -> Vec<LogEntry> {
    if origin.voters > 1 {
        let all = tail.entries.len();
        tail.entries.retain(|entry| entry.index <= tail.commit);
        let left = all - tail.entries.len();
        if left > 0 {
            eprintln!(
                "warning: {left} entries after index {} are left out: this member did not know \
                 whether they were committed; import from the member whose log is the longest",
                tail.commit
            );
        }
    }
    tail.entries
}

/// Applies the entries to the imported store and returns it, flushed.
fn apply(options: &Options, entries: &[LogEntry]) -> Result<Store> {
    let (store, writer) = Store::open(options.clone())?;
    let hub_options =
        mainstay_watch::Options::new(Arc::new(HeaderIds::default), mainstay_api::watch_reasons());
    let hub = Hub::new(store.clone(), hub_options);
    let now = Arc::new(|| Duration::ZERO);
    let leases = Leases::new(mainstay_lease::Options::new(Duration::from_secs(1), now));
    // No member has this id, so nobody waits for an answer; and what etcd has admitted no quota
    // refuses now.
    let apply_options = ApplyOptions {
        member_id: 0,
        quota_bytes: NO_QUOTA,
    };
    let auth = Auth::new(mainstay_auth::Options {
        token_ttl: Duration::ZERO,
        now: Arc::new(|| Duration::ZERO),
    });
    let (waiters, of_hub) = (Waiters::default(), store.clone());
    let mut applier = Applier::open(apply_options, of_hub, writer, hub, leases, auth, waiters)?;
    for chunk in entries.chunks(BATCH_ENTRIES) {
        let batch: Vec<AppliedEntry> = chunk.iter().map(entry).collect::<Result<_>>()?;
        applier.apply(&batch)?;
    }
    store.flush()?;
    Ok(store)
}

fn entry(entry: &LogEntry) -> Result<AppliedEntry> {
    let payload = match entry.command()? {
        Some((caller, body)) => {
            EntryPayload::Command(encode(0, entry.index, caller, NO_QUOTA, body)?)
        }
        None => EntryPayload::Blank,
    };
    Ok(AppliedEntry {
        term: entry.term,
        index: entry.index,
        payload,
    })
}

/// Lets the store say that it is what its new cluster begins with.
fn found(options: &Options, applied: &AppliedState) -> Result<()> {
    let (store, mut writer) = Store::open(options.clone())?;
    writer.begin().commit(applied.encode())?;
    Ok(store.flush()?)
}

/// etcd holds the file locked while it runs.
fn lock(file: &File, path: &Path) -> Result<()> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            bail!("{} is in use: stop etcd first", path.display())
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}
