//! What callers hand in and get back: entries, their ids, and the state found at start.

use std::path::PathBuf;

use bytes::Bytes;

use crate::Error;

/// Identity of a raft entry: with one leader per term, (term, index) names one entry for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct EntryId {
    /// Term of the leader that proposed the entry.
    pub term: u64,
    /// Position in the log. The first entry of a fresh log may have any index; raft uses 0.
    pub index: u64,
}

/// One raft entry. The log never looks into `kind` or `payload`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Identity, stored in the record's header.
    pub id: EntryId,
    /// Opaque to the log: blank, normal, membership, as the raft room likes.
    pub kind: u8,
    /// Encoded once by the proposer and shared, not copied, between the log write and the tail.
    /// A slice of a large network buffer pins that buffer while the entry stays in the tail.
    pub payload: Bytes,
}

/// The log as callers see it: queued changes count as made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The newest purged entry; entries up to and including it are gone.
    pub purged: Option<EntryId>,
    /// The last entry, or `purged` if the log holds none.
    pub last: Option<EntryId>,
    /// The vote saved last.
    pub vote: Option<Bytes>,
    /// The committed hint saved last. It never refers to an entry that the log does not hold.
    pub committed: Option<Bytes>,
    /// What opening the log had to repair.
    pub recovered: Recovery,
}

/// What was found when the log was opened, for the start-up log line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments read.
    pub segments: usize,
    /// Live entries found.
    pub entries: u64,
    /// The torn tail that was cut, if there was one: a batch that was being written when the
    /// power failed and which nobody was told about.
    pub cut: Option<Cut>,
}

/// A torn tail that was overwritten with zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Segment file.
    pub file: PathBuf,
    /// Offset in bytes of the first byte that was cut.
    pub offset: u64,
    /// Bytes of the torn batch, as far as they can be told.
    pub bytes: u64,
}

/// Called once, on the writer thread, when the change is durable or has failed. It must be quick
/// and must not call back into the log: the next batch waits for it.
pub type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;
