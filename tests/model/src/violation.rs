//! What a checker found wrong.

use std::fmt;

/// One broken guarantee, with a message that names revision, client and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub message: String,
}

/// Every rule that a history can break. The numbers are those of the revision-guided checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// The history is not one that a client of this design can record.
    Malformed,
    /// 1: every member tells the same events, without a gap, each following from the one before.
    Truth,
    /// 2: a successful write owns one revision, and its effects are the events of that revision.
    Ownership,
    /// 3: a read equals the model at its revision.
    Read,
    /// 4: revisions follow real time.
    RealTime,
    /// 5: a write of unknown outcome is found at most once and not before its call.
    UnknownWrite,
    /// 6: no event without a request.
    Orphan,
    /// Reads below a completed compaction are refused, and only those.
    Compaction,
    /// The search found no order of the operations that explains all answers.
    Linearizable,
    WatchFilter,
    WatchOrdered,
    WatchUnique,
    WatchAtomic,
    WatchBookmarkable,
    WatchResumable,
    WatchReliable,
    WatchPrevKv,
    WatchIsCreate,
    /// The keys of a lease vanished although it had been renewed in time.
    LeaseEarly,
    /// An answer said that a lease is not there although it had been renewed in time.
    LeaseDenied,
    /// A lease outlived its time to live by more than the bound.
    LeaseLate,
    /// A key was attached to a lease that was not there.
    LeaseDead,
}

impl Violation {
    pub fn new(rule: Rule, message: impl Into<String>) -> Violation {
        Violation {
            rule,
            message: message.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.rule, self.message)
    }
}
