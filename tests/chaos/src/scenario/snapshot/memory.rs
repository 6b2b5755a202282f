//! The memory of the leader while it sends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::time::sleep;

use super::Run;
use crate::process;

/// What sending a snapshot may add to the leader's memory, whatever the size of the store.
const SEND_MEMORY_MAX: u64 = 128 << 20;

impl Run {
    pub(super) async fn memory_of_leader(&self) -> anyhow::Result<Memory> {
        let leader = self.cluster.leader().await.context("no leader")?;
        let pid = self.cluster.members[leader].pid().context("no process")?;
        let start = process::resident_bytes(pid)?;
        let (peak, stop) = (
            Arc::new(AtomicU64::new(start)),
            Arc::new(AtomicBool::new(false)),
        );
        let (seen, ended) = (Arc::clone(&peak), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                if let Ok(bytes) = process::resident_bytes(pid) {
                    seen.fetch_max(bytes, Ordering::Relaxed);
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
        Ok(Memory {
            start,
            peak,
            stop,
            task,
        })
    }
}

/// Watches the memory of the leader.
pub(super) struct Memory {
    start: u64,
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Memory {
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?;
        let peak = self.peak.load(Ordering::Relaxed);
        println!(
            "leader: {} MiB before, {} MiB at most",
            self.start >> 20,
            peak >> 20
        );
        match peak.saturating_sub(self.start) <= SEND_MEMORY_MAX {
            true => Ok(()),
            false => bail!("memory grew from {} to {peak} bytes", self.start),
        }
    }
}
