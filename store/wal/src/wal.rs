//! The log's public face.

use bytes::Bytes;

use crate::{Done, Entry, EntryId, Error, Options, State};

/// The raft log on disk. Clones are handles to one log.
#[derive(Clone)]
pub struct Wal {}

impl Wal {
    /// Opens the log.
    pub fn open(_options: Options) -> Result<Wal, Error> {
        Err(Error::Closed)
    }
    /// The log as callers see it now.
    pub fn state(&self) -> State {
        State {
            purged: None,
            last: None,
            vote: None,
            committed: None,
            recovered: Default::default(),
        }
    }
    /// Appends.
    pub fn append(&self, _entries: Vec<Entry>, _done: Done) -> Result<(), Error> {
        Err(Error::Closed)
    }
    /// Saves the vote.
    pub fn save_vote(&self, _vote: Bytes, _done: Done) -> Result<(), Error> {
        Err(Error::Closed)
    }
    /// Saves the hint.
    pub fn save_committed(&self, _hint: Bytes) -> Result<(), Error> {
        Err(Error::Closed)
    }
    /// Truncates.
    pub fn truncate_after(&self, _index: Option<u64>, _done: Done) -> Result<(), Error> {
        Err(Error::Closed)
    }
    /// Purges.
    pub fn purge(&self, _upto: EntryId, _done: Done) -> Result<(), Error> {
        Err(Error::Closed)
    }
    /// Reads a contiguous run that starts exactly at `from`; empty if `from` is not in the log.
    pub fn read(
        &self,
        _from: u64,
        _to_exclusive: u64,
        _bytes_max: usize,
    ) -> Result<Vec<Entry>, Error> {
        Err(Error::Closed)
    }
    /// The id of the entry at `index`, or of the purge point.
    pub fn id_of(&self, _index: u64) -> Result<Option<EntryId>, Error> {
        Err(Error::Closed)
    }
    /// The failure that stopped the log.
    pub fn poisoned(&self) -> Option<Error> {
        None
    }
    /// Drains, syncs, joins.
    pub fn close(self) {}
}
