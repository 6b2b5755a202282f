//! Logical bytes, the same on every member at the same entry.
//!
//! What a compaction frees must be known when it is decided, long before the disk is walked. So
//! each record carries `dead`: the bytes that a compaction to its main revision would have freed
//! since the store began. That is what was superseded up to it, and every tombstone of an earlier
//! main revision (one exactly at the compact revision is kept). A compaction then reads one record.

use crate::{Error, record, varint};

/// Running totals in bytes; all only ever grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Accounting {
    /// Everything ever written.
    written: u64,
    /// Values that were overwritten or deleted.
    superseded: u64,
    /// Tombstones, up to now and up to the mutation under way.
    tombstones: u64,
    tombstones_before: u64,
    /// What the latest compaction has freed of `written`.
    freed: u64,
}

impl Accounting {
    pub fn begin_mutation(&mut self) {
        self.tombstones_before = self.tombstones;
    }

    /// Counts a put, over a value of `superseded` bytes if there was one.
    pub fn put(&mut self, key_len: usize, value_len: u32, superseded: Option<u32>) {
        self.written += record::logical_bytes(key_len, value_len.into());
        if let Some(len) = superseded {
            self.superseded += record::logical_bytes(key_len, len.into());
        }
    }

    /// Counts a tombstone, over a value of `superseded` bytes if there still is one.
    pub fn delete(&mut self, key_len: usize, superseded: Option<u32>) {
        let tombstone = record::logical_bytes(key_len, 0);
        self.written += tombstone;
        self.tombstones += tombstone;
        if let Some(len) = superseded {
            self.superseded += record::logical_bytes(key_len, len.into());
        }
    }

    /// What the record just counted stores.
    pub fn dead(&self) -> u64 {
        self.superseded + self.tombstones_before
    }

    /// What a compaction to a revision after the last mutation would free.
    pub fn dead_after(&self) -> u64 {
        self.superseded + self.tombstones
    }

    /// Notes a compaction to a revision whose last record stores `dead`.
    pub fn compact(&mut self, dead: u64) {
        self.freed = self.freed.max(dead);
    }

    pub fn logical_bytes(&self) -> i64 {
        i64::try_from(self.written.saturating_sub(self.freed)).unwrap_or(i64::MAX)
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        for total in [self.written, self.superseded, self.tombstones, self.freed] {
            varint::put(out, total);
        }
    }

    pub fn decode(input: &mut &[u8]) -> Result<Accounting, Error> {
        let written = varint::take(input)?;
        let superseded = varint::take(input)?;
        let tombstones = varint::take(input)?;
        let freed = varint::take(input)?;
        Ok(Accounting {
            written,
            superseded,
            tombstones,
            tombstones_before: tombstones,
            freed,
        })
    }
}
