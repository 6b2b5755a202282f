/// Answer of HashKV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashKv {
    pub hash: u32,
    /// -1 when the store was never compacted.
    pub compact_revision: i64,
    /// The revision that was hashed.
    pub hash_revision: i64,
}
