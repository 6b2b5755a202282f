//! openraft's log storage over `store/wal`. It translates and keeps no state of its own but the
//! vote, which openraft asks for often.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use mainstay_proto::peer;
use mainstay_wal::{Entry as WalEntry, EntryId, Wal};
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::oneshot;

use crate::codec;
use crate::types::{Entry, LogId, TypeConfig, Vote, term_of};

/// Bytes of entries read at once for replication: a frame to a follower stays near this.
const READ_BYTES_MAX: usize = 4 << 20;
/// Bytes read at once where the caller needs the whole range; it asks for a few entries only.
const READ_ALL_BYTES_MAX: usize = usize::MAX;

/// More than the log adds to an entry in its queue.
const RECORD_OVERHEAD: usize = 64;

#[derive(Clone)]
pub struct Log {
    wal: Wal,
    vote: Arc<Mutex<Option<Vote>>>,
}

impl Log {
    pub fn new(wal: Wal) -> io::Result<Log> {
        let vote = match wal.state().vote {
            Some(bytes) => Some(decode_vote(&bytes)?),
            None => None,
        };
        Ok(Log {
            wal,
            vote: Arc::new(Mutex::new(vote)),
        })
    }

    fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        self.wal
            .read(from, to, bytes_max)
            .map_err(io::Error::other)?
            .into_iter()
            .map(|entry| {
                let id = LogId::new_term_index(entry.id.term, entry.id.index);
                codec::entry_in(id, u32::from(entry.kind), entry.payload).map_err(io::Error::other)
            })
            .collect()
    }
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        self.read(from, to, READ_ALL_BYTES_MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(*self.vote.lock())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, READ_BYTES_MAX)
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let state = self.wal.state();
        Ok(LogState {
            last_purged_log_id: state.purged.map(id_in),
            last_log_id: state.last.map(id_in),
        })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    /// Returns once the vote is on disk: a vote that could be forgotten could be given twice.
    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let bytes = codec::vote_out(vote).encode_to_vec();
        let (done, durable) = oneshot::channel();
        self.wal
            .save_vote(bytes.into(), Box::new(|result| drop(done.send(result))))
            .map_err(io::Error::other)?;
        wait(durable).await?;
        *self.vote.lock() = Some(*vote);
        Ok(())
    }

    /// A hint in the same stream, so that it can never be ahead of the durable log.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let Some(committed) = committed else {
            return Ok(());
        };
        let bytes = codec::log_id_out(&committed).encode_to_vec();
        self.wal
            .save_committed(bytes.into())
            .map_err(io::Error::other)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        let state = self.wal.state();
        let Some(bytes) = state.committed else {
            return Ok(None);
        };
        let hint = peer::LogId::decode(bytes).map_err(io::Error::other)?;
        // The hint is not synced by itself: a power cut may keep it and lose a later truncate.
        let last = state.last.map(id_in);
        Ok(Some(codec::log_id_in(hint)).min(last))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<WalEntry> = entries
            .into_iter()
            .map(|entry| {
                let (kind, payload) = codec::payload_out(&entry.payload);
                WalEntry {
                    id: id_out(&entry.log_id),
                    kind,
                    payload,
                }
            })
            .collect();
        let done = Box::new(move |result: Result<(), mainstay_wal::Error>| {
            callback.io_completed(result.map_err(io::Error::other));
        });
        let bytes = entries
            .iter()
            .map(|entry| entry.payload.len() + RECORD_OVERHEAD);
        let bytes = bytes.sum();
        if self.wal.has_room(bytes) {
            return self.wal.append(entries, done).map_err(io::Error::other);
        }
        // It waits for the disk, and this thread has more to do than that.
        let wal = self.wal.clone();
        let appended = tokio::task::spawn_blocking(move || wal.append(entries, done));
        appended.await?.map_err(io::Error::other)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let (done, durable) = oneshot::channel();
        let index = last.map(|id| id.index);
        self.wal
            .truncate_after(index, Box::new(|result| drop(done.send(result))))
            .map_err(io::Error::other)?;
        wait(durable).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let (done, durable) = oneshot::channel();
        self.wal
            .purge(id_out(&upto), Box::new(|result| drop(done.send(result))))
            .map_err(io::Error::other)?;
        wait(durable).await
    }
}

async fn wait(durable: oneshot::Receiver<Result<(), mainstay_wal::Error>>) -> io::Result<()> {
    match durable.await {
        Ok(result) => result.map_err(io::Error::other),
        Err(_) => Err(io::Error::other("the log's writer has stopped")),
    }
}

fn decode_vote(bytes: &[u8]) -> io::Result<Vote> {
    let vote = peer::Vote::decode(bytes).map_err(io::Error::other)?;
    codec::vote_in(Some(vote)).map_err(io::Error::other)
}

fn id_in(id: EntryId) -> LogId {
    LogId::new_term_index(id.term, id.index)
}

fn id_out(id: &LogId) -> EntryId {
    EntryId {
        term: term_of(id),
        index: id.index,
    }
}
