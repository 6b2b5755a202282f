//! What callers and the writer thread share: the view of the log and the queue of changes to it.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use crate::index::Index;
use crate::record::RECORD_HEADER;
use crate::view::View;
use crate::{Done, Entry, EntryId, Error, Recovery};

/// One lock for all of it: it is held for memory operations only, never for a system call.
pub(crate) struct Shared {
    pub state: Mutex<LogState>,
    /// Signalled when the queue gets its first change, or the log is closed.
    pub work: Condvar,
    /// Signalled when queued bytes have become durable.
    pub room: Condvar,
}

#[derive(Default)]
pub(crate) struct LogState {
    pub view: View,
    pub index: Index,
    pub vote: Option<Bytes>,
    pub committed: Option<Bytes>,
    /// Whether `committed` has not been handed to the writer yet.
    pub hint_pending: bool,
    /// How many truncations have been queued; see [`Queued::stamp`].
    pub truncations: u64,
    pub queue: VecDeque<Queued>,
    /// Encoded bytes queued or being written.
    pub queue_bytes: usize,
    pub closing: bool,
    pub poisoned: Option<Error>,
    pub recovered: Recovery,
}

/// A change that waits for the writer.
pub(crate) struct Queued {
    pub op: Op,
    pub done: Option<Done>,
    /// Encoded size in bytes.
    pub body: usize,
    /// The truncations queued before and including this. An append whose stamp is old may have
    /// lost entries to a later truncation, so it does not say what is durable.
    pub stamp: u64,
}

pub(crate) enum Op {
    Append(Vec<Entry>),
    Vote(Bytes),
    Committed(Bytes),
    Truncate(Option<u64>),
    Purge(EntryId),
    /// Changes nothing; its callback waits for what was queued before.
    Barrier,
}

impl Op {
    /// Bytes this takes in a batch.
    pub fn body(&self) -> usize {
        match self {
            Self::Append(entries) => entries
                .iter()
                .map(|entry| RECORD_HEADER + entry.payload.len())
                .sum(),
            Self::Vote(bytes) | Self::Committed(bytes) => RECORD_HEADER + bytes.len(),
            Self::Truncate(_) | Self::Purge(_) => RECORD_HEADER,
            Self::Barrier => 0,
        }
    }
}

impl LogState {
    /// Queues a change whose effect on the view has been made. The caller wakes the writer.
    pub fn push(&mut self, op: Op, done: Option<Done>) {
        let body = op.body();
        self.queue_bytes += body;
        self.queue.push_back(Queued {
            op,
            done,
            body,
            stamp: self.truncations,
        });
    }

    /// Moves the committed hint to the end of the queue. There it never precedes the entries it
    /// speaks of, and any number of hints between two batches costs one record.
    pub fn push_hint(&mut self) {
        if std::mem::take(&mut self.hint_pending)
            && let Some(hint) = self.committed.clone()
        {
            self.push(Op::Committed(hint), None);
        }
    }

    /// The failure that stopped the log, for a caller that wants something of it.
    pub fn healthy(&self) -> Result<(), Error> {
        match &self.poisoned {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}
