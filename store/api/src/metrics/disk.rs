//! What the log and the store have measured of the disk; they write, the metrics page reads.

use std::sync::atomic::AtomicU64;

use super::Histogram;

/// Filled by whoever opens the log and the store.
pub struct Disk {
    /// fdatasync calls of the log.
    pub wal_fsync: Histogram,
    /// Commits of applied entries to the store.
    pub backend_commit: Histogram,
    /// Bytes written to the log, padding included.
    pub wal_bytes: AtomicU64,
    /// Records written to the log, and the batches they came in.
    pub wal_records: AtomicU64,
    pub wal_batches: AtomicU64,
    pub wal_segments: AtomicU64,
}

impl Default for Disk {
    /// etcd's buckets of `etcd_disk_wal_fsync_duration_seconds` and its sister.
    fn default() -> Self {
        Disk {
            wal_fsync: Histogram::exponential(0.001, 14),
            backend_commit: Histogram::exponential(0.001, 14),
            wal_bytes: AtomicU64::new(0),
            wal_records: AtomicU64::new(0),
            wal_batches: AtomicU64::new(0),
            wal_segments: AtomicU64::new(0),
        }
    }
}
