//! Figures for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Sizes of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Files on disk and memtables, in bytes.
    pub files_bytes: i64,
    /// Keys and values of uncompacted records, in bytes; equal on all members.
    pub logical_bytes: i64,
}

/// Counters for metrics; totals count since open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    pub keys: i64,
    pub revision: i64,
    pub compact_revision: i64,
    pub ranges_total: u64,
    pub puts_total: u64,
    pub deletes_total: u64,
    /// Mutations with more than one write.
    pub txns_total: u64,
    /// Records removed by compaction.
    pub compaction_keys_total: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    ranges: AtomicU64,
    puts: AtomicU64,
    deletes: AtomicU64,
    txns: AtomicU64,
    compacted: AtomicU64,
}

impl Counters {
    pub fn range(&self) {
        self.ranges.fetch_add(1, Ordering::Relaxed);
    }

    pub fn writes(&self, puts: u64, deletes: u64, txns: u64) {
        self.puts.fetch_add(puts, Ordering::Relaxed);
        self.deletes.fetch_add(deletes, Ordering::Relaxed);
        self.txns.fetch_add(txns, Ordering::Relaxed);
    }

    pub fn compacted(&self, records: u64) {
        self.compacted.fetch_add(records, Ordering::Relaxed);
    }

    pub fn stats(&self, keys: i64, revision: i64, compact_revision: i64) -> Stats {
        Stats {
            keys,
            revision,
            compact_revision,
            ranges_total: self.ranges.load(Ordering::Relaxed),
            puts_total: self.puts.load(Ordering::Relaxed),
            deletes_total: self.deletes.load(Ordering::Relaxed),
            txns_total: self.txns.load(Ordering::Relaxed),
            compaction_keys_total: self.compacted.load(Ordering::Relaxed),
        }
    }
}
