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
    pub txns_total: u64,
    /// Superseded records removed by compaction.
    pub compaction_keys_total: u64,
}
