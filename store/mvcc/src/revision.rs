//! The two-part revision of a record.

/// Main revision of a mutation and the position of one write in it. Ordered as records are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Revision {
    pub main: i64,
    pub sub: u32,
}

/// Revision of a store nothing was written to; the first write makes 2, as in etcd.
pub(crate) const FIRST: i64 = 1;

/// Compact revision of a store that was never compacted, as in etcd.
pub(crate) const NEVER_COMPACTED: i64 = -1;

impl Revision {
    pub fn new(main: i64, sub: u32) -> Revision {
        Revision { main, sub }
    }

    /// The last a record of `main` can have.
    pub fn last_of(main: i64) -> Revision {
        Revision {
            main,
            sub: u32::MAX,
        }
    }
}
