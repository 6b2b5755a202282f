//! What the raft log measures of the disk, handed to the metrics page; and the end of the process
//! when the log has failed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_wal::Observer;

/// Exit code of a member whose disk has failed it.
const EXIT_DISK_FAILED: i32 = 70;

pub struct WalObserver(pub Arc<mainstay_api::Disk>);

impl Observer for WalObserver {
    fn synced(&self, took: Duration) {
        self.0.wal_fsync.observe(took);
    }

    fn written(&self, records: usize, bytes: usize) {
        self.0.wal_batches.fetch_add(1, Ordering::Relaxed);
        self.0
            .wal_records
            .fetch_add(records as u64, Ordering::Relaxed);
        self.0.wal_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn rolled(&self) {
        self.0.wal_segments.fetch_add(1, Ordering::Relaxed);
    }

    /// After a failed write or sync the kernel may have dropped the pages: what this process still
    /// believes about the disk is worth nothing, so it goes at once and is replayed or replaced.
    fn failed(&self, error: &mainstay_wal::Error) {
        tracing::error!(%error, "the raft log cannot be written; this member stops");
        eprintln!("mainstay: the raft log cannot be written; this member stops: {error}");
        std::process::exit(EXIT_DISK_FAILED);
    }
}
