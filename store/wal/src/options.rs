//! How a log is opened, and the limits that hold for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::Error;
use crate::batch::PAGE;
use crate::storage::{Disk, Storage};

/// Default size of a segment in bytes, as etcd's WAL: large enough that the two directory syncs
/// of a roll do not show, small enough that space returns soon after a purge.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Default bound in bytes of the payloads kept in memory after they are durable.
pub const TAIL_BYTES_MAX: usize = 32 << 20;

/// Default bound in bytes of the payloads queued and not yet durable.
pub const QUEUE_BYTES_MAX: usize = 32 << 20;

/// Bytes at which the writer closes a batch and leaves the rest of the queue to the next one. One
/// record may exceed it; then it is a batch of its own.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// Largest size a segment can be set to, in bytes; offsets are kept in 32 bits.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Largest payload, vote or hint in bytes. etcd's request limit is 1.5 MiB, so this is far off.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// How to open a log. Start from [`Options::new`] and change what differs.
#[derive(Clone)]
pub struct Options {
    /// Directory of the segments; created if missing. Locking it is the server's job.
    pub dir: PathBuf,
    /// Size of a segment in bytes, [`SEGMENT_BYTES`] by default, rounded up to pages and held
    /// between 16 KiB and 1 GiB. A segment may be larger when one record needs it.
    pub segment_bytes: u64,
    /// Bound in bytes of durable payloads kept for readers, [`TAIL_BYTES_MAX`] by default.
    /// Payloads that are not durable yet stay beyond it.
    pub tail_bytes_max: usize,
    /// Bound in bytes of payloads queued, [`QUEUE_BYTES_MAX`] by default. A caller beyond it
    /// waits for the batch in progress; one that meets an empty queue is always let in.
    pub queue_bytes_max: usize,
    /// Whether to call fdatasync at all. False is etcd's `--unsafe-no-fsync`: a power cut may
    /// then lose acknowledged entries.
    pub sync: bool,
    /// The file system, or one which plays a power cut.
    pub storage: Arc<dyn Storage>,
    /// Whether a helper thread zeroes the next segment ahead, true by default. It makes a small
    /// sync about a third cheaper; without it the only thread is the writer.
    pub prepare: bool,
    /// Receives durations and sizes for metrics.
    pub observer: Arc<dyn Observer>,
    /// Deliberate faults for the chaos suite.
    #[cfg(feature = "planted-faults")]
    pub faults: Faults,
}

impl Options {
    /// The defaults for a log in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: SEGMENT_BYTES,
            tail_bytes_max: TAIL_BYTES_MAX,
            queue_bytes_max: QUEUE_BYTES_MAX,
            sync: true,
            prepare: true,
            storage: Arc::new(Disk),
            observer: Arc::new(NoObserver),
            #[cfg(feature = "planted-faults")]
            faults: Faults::default(),
        }
    }

    /// Brings the segment size into the range that the format and the index can hold.
    pub(crate) fn normal(mut self) -> Self {
        let page = PAGE as u64;
        self.segment_bytes = self
            .segment_bytes
            .clamp(4 * page, SEGMENT_BYTES_MAX)
            .next_multiple_of(page);
        self
    }
}

/// Hears what the writer thread does. Called on that thread, so it must be quick.
pub trait Observer: Send + Sync {
    /// One fdatasync of a segment took this long.
    fn synced(&self, _took: Duration) {}
    /// One batch of this many records and bytes, padding included, was written.
    fn written(&self, _records: usize, _bytes: usize) {}
    /// A new segment was begun.
    fn rolled(&self) {}
    /// The log has stopped for good, before any callback hears of it. The process must end.
    fn failed(&self, _error: &Error) {}
}

/// The observer that does not care.
pub struct NoObserver;

impl Observer for NoObserver {}

/// Deliberate faults: a checker that does not catch them is worth nothing.
#[cfg(feature = "planted-faults")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Report batches as durable when they are only written, and sync late.
    pub ack_before_sync: bool,
}
