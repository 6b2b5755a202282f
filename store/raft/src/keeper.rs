//! Keeping the log short: it may go as far as RocksDB's files reach, less what slow followers may
//! still need.

use std::sync::Arc;
use std::time::Duration;

use mainstay_apply::View;
use mainstay_mvcc::Store;
use mainstay_wal::Wal;
use tokio::time::{MissedTickBehavior, interval};

use crate::applied;
use crate::snapshot::pins::Pins;
use crate::types::{LogId, Raft};

const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A step of a cut that takes longer is looked at again later.
const CUT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries that may stand in the log beyond what is flushed before a flush is forced. It
    /// bounds what a restart applies again.
    pub unflushed_entries_max: u64,
    /// Entries kept behind the applied index for followers that lag (etcd's
    /// `--snapshot-catchup-entries`); beyond it they get a snapshot.
    pub catchup_entries: u64,
    /// Bytes of segments beyond which the log is cut, whatever the number of its entries: large ones
    /// would fill the disk before there were enough of them.
    pub log_bytes_max: u64,
}

pub async fn keep(raft: Raft, view: View, wal: Wal, pins: Arc<Pins>, limits: Limits) {
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut purged = 0_u64;
    loop {
        ticks.tick().await;
        // A snapshot from the leader may have replaced the store.
        let store = view.store();
        let applied = view.applied_index();
        let Some(mut flushed) = flushed_index(&store).await else {
            continue;
        };
        let surplus = wal.surplus(limits.log_bytes_max).unwrap_or(0).min(applied);
        if applied.saturating_sub(flushed) > limits.unflushed_entries_max || surplus > flushed {
            let flushing = store.clone();
            let done = tokio::task::spawn_blocking(move || flushing.flush()).await;
            if let Ok(Err(error)) = done {
                tracing::error!(%error, "the store cannot be flushed");
                continue;
            }
            flushed = flushed_index(&store).await.unwrap_or(flushed);
        }
        let upto = applied.saturating_sub(limits.catchup_entries).max(surplus);
        let upto = upto.min(flushed);
        let upto = upto.min(pins.lowest().unwrap_or(upto));
        // Purging less than a tenth of what is kept is not worth the records it writes, unless it
        // gives segments back.
        let worth = match surplus > purged {
            true => 0,
            false => limits.catchup_entries / 10,
        };
        if upto <= purged.saturating_add(worth) {
            continue;
        }
        match cut(&raft, upto).await {
            Ok(index) => {
                tracing::info!(upto = index, flushed, applied, "the log was cut");
                purged = index;
            }
            Err(NotCut::Stopped) => return,
            // A snapshot is being installed or a disk is slow: the next look tries again.
            Err(NotCut::Late) => {}
        }
    }
}

/// Why the log is as long as it was.
enum NotCut {
    Stopped,
    Late,
}

/// Cuts the log and returns the last index that is gone. openraft cuts no further than its last
/// snapshot, and takes that, which here is a position only, in its own time: cutting before it is
/// known would cut nothing.
async fn cut(raft: &Raft, upto: u64) -> Result<u64, NotCut> {
    let stopped = |_| NotCut::Stopped;
    raft.trigger().snapshot().await.map_err(stopped)?;
    raft.wait(Some(CUT_TIMEOUT))
        .metrics(|now| index(&now.snapshot) >= upto, "a snapshot to cut by")
        .await
        .map_err(|_| NotCut::Late)?;
    raft.trigger().purge_log(upto).await.map_err(stopped)?;
    let now = raft
        .wait(Some(CUT_TIMEOUT))
        .metrics(|now| index(&now.purged) >= upto, "the log to be cut")
        .await
        .map_err(|_| NotCut::Late)?;
    Ok(index(&now.purged))
}

fn index(id: &Option<LogId>) -> u64 {
    id.as_ref().map_or(0, |id| id.index)
}

async fn flushed_index(store: &Store) -> Option<u64> {
    let store = store.clone();
    let blob = tokio::task::spawn_blocking(move || store.flushed_applied())
        .await
        .ok()?;
    match blob {
        Ok(Some(blob)) => applied::positions_of(&blob).ok()?.0.map(|id| id.index),
        Ok(None) => Some(0),
        Err(error) => {
            tracing::error!(%error, "the flushed position cannot be read");
            None
        }
    }
}
