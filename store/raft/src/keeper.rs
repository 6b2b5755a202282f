//! Keeping the log short: it may go as far as RocksDB's files reach, less what slow followers may
//! still need.

use std::sync::Arc;
use std::time::Duration;

use mainstay_apply::View;
use mainstay_mvcc::Store;
use tokio::time::{MissedTickBehavior, interval};

use crate::applied;
use crate::snapshot::pins::Pins;
use crate::types::Raft;

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries that may stand in the log beyond what is flushed before a flush is forced. It
    /// bounds what a restart applies again.
    pub unflushed_entries_max: u64,
    /// Entries kept behind the applied index for followers that lag (etcd's
    /// `--snapshot-catchup-entries`); beyond it they get a snapshot.
    pub catchup_entries: u64,
}

pub async fn keep(raft: Raft, view: View, pins: Arc<Pins>, limits: Limits) {
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
        if applied.saturating_sub(flushed) > limits.unflushed_entries_max {
            let flushing = store.clone();
            let done = tokio::task::spawn_blocking(move || flushing.flush()).await;
            if let Ok(Err(error)) = done {
                tracing::error!(%error, "the store cannot be flushed");
                continue;
            }
            flushed = flushed_index(&store).await.unwrap_or(flushed);
        }
        let upto = flushed.min(applied.saturating_sub(limits.catchup_entries));
        let upto = upto.min(pins.lowest().unwrap_or(upto));
        // Purging less than a tenth of what is kept is not worth the records it writes.
        if upto <= purged.saturating_add(limits.catchup_entries / 10) {
            continue;
        }
        if raft.trigger().snapshot().await.is_err() || raft.trigger().purge_log(upto).await.is_err()
        {
            return;
        }
        tracing::info!(upto, flushed, applied, "the log was cut");
        purged = upto;
    }
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
