//! Counters for metrics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What a hub is carrying now and has carried since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    pub streams: u64,
    pub watchers: u64,
    /// Watches that are behind and read older revisions.
    pub slow_watchers: u64,
    /// Events handed out since the start, counted for each watch.
    pub events_total: u64,
    /// Events matched and not yet pulled, counted for each watch.
    pub pending_events: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub watchers: AtomicI64,
    pub slow_watchers: AtomicI64,
    pub pending_events: AtomicI64,
    pub events_total: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self, streams: usize) -> Stats {
        let gauge = |gauge: &AtomicI64| u64::try_from(gauge.load(Ordering::Relaxed)).unwrap_or(0);
        Stats {
            streams: streams as u64,
            watchers: gauge(&self.watchers),
            slow_watchers: gauge(&self.slow_watchers),
            events_total: self.events_total.load(Ordering::Relaxed),
            pending_events: gauge(&self.pending_events),
        }
    }
}

/// Adds to a gauge; less than zero takes away.
pub(crate) fn add(gauge: &AtomicI64, by: i64) {
    gauge.fetch_add(by, Ordering::Relaxed);
}
