//! The newest entries in memory: every one that is not durable yet, and durable ones up to a
//! bound in bytes.

use std::collections::VecDeque;

use crate::Entry;

/// A run of entries that ends with the last one.
#[derive(Default)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Entries below this index are durable.
    durable: u64,
}

impl Tail {
    pub fn push(&mut self, entry: Entry) {
        self.bytes += entry.payload.len();
        self.entries.push_back(entry);
    }

    /// Index of the oldest entry kept.
    pub fn first(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.id.index)
    }

    /// Entries from `index` on.
    pub fn from(&self, index: u64) -> impl Iterator<Item = &Entry> {
        let skip = self.first().map_or(0, |first| index.saturating_sub(first));
        self.entries.range(
            usize::try_from(skip)
                .unwrap_or(usize::MAX)
                .min(self.entries.len())..,
        )
    }

    /// Drops entries from `next` on.
    pub fn truncate(&mut self, next: u64) {
        while self
            .entries
            .back()
            .is_some_and(|entry| entry.id.index >= next)
        {
            let gone = self.entries.pop_back();
            self.bytes -= gone.map_or(0, |entry| entry.payload.len());
        }
        self.durable = self.durable.min(next);
    }

    /// Drops entries below `first`.
    pub fn purge(&mut self, first: u64) {
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.id.index < first)
        {
            self.pop_front();
        }
    }

    /// Notes that entries below `durable` are on disk, then forgets the oldest of them until the
    /// bound holds. An entry that is not durable has no place on disk and must stay.
    pub fn evict(&mut self, durable: u64, bytes_max: usize) {
        self.durable = self.durable.max(durable);
        while self.bytes > bytes_max
            && self
                .entries
                .front()
                .is_some_and(|entry| entry.id.index < self.durable)
        {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        let gone = self.entries.pop_front();
        self.bytes -= gone.map_or(0, |entry| entry.payload.len());
    }
}
