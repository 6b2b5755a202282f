//! The writer thread: everything queued becomes one batch, one write, one fdatasync; then the
//! callbacks. No linger: the sync in progress is the time in which the next batch gathers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;

use crate::batch::{self, BATCH_HEADER};
use crate::record::{Encoder, RECORD_HEADER};
use crate::segments::Segments;
use crate::shared::{Op, Queued, Shared};
use crate::{BATCH_BYTES_MAX, Entry, EntryId, Error, Options};

/// Batches between two syncs while acknowledging early is planted: enough for a kill to land.
#[cfg(feature = "planted-faults")]
const LATE_SYNC_BATCHES: u64 = 64;

/// What the thread owns.
pub(crate) struct Writer {
    pub shared: Arc<Shared>,
    pub options: Options,
    pub segments: Segments,
    pub meta: Meta,
    /// The thread that zeroes spares; joined at the end.
    pub helper: Option<JoinHandle<()>>,
    /// The batch being built; kept, so that a steady log allocates nothing.
    pub buf: Vec<u8>,
    /// Batches written, for the planted fault.
    #[cfg(feature = "planted-faults")]
    pub batches: u64,
}

/// What every segment repeats at its start, as of the written stream.
#[derive(Clone, Default)]
pub(crate) struct Meta {
    pub vote: Option<Bytes>,
    pub committed: Option<Bytes>,
    pub purged: Option<EntryId>,
}

impl Meta {
    fn body(&self) -> usize {
        let bytes = [&self.vote, &self.committed].into_iter().flatten();
        let purged = self.purged.map_or(0, |_| RECORD_HEADER);
        bytes
            .map(|bytes| RECORD_HEADER + bytes.len())
            .sum::<usize>()
            + purged
    }

    /// Returns the number of records.
    fn encode(&self, to: &mut Encoder<'_>) -> u32 {
        let mut count = 0;
        if let Some(vote) = &self.vote {
            to.vote(vote);
            count += 1;
        }
        if let Some(purged) = self.purged {
            to.purge(purged);
            count += 1;
        }
        if let Some(hint) = &self.committed {
            to.committed(hint);
            count += 1;
        }
        count
    }
}

/// What one batch holds.
struct Built {
    /// Changes of the queue in it.
    changes: usize,
    /// Offset of the first record that is not repeated meta.
    first: u64,
    records: u32,
}

impl Writer {
    /// Runs until the log is closed or fails.
    pub fn run(mut self) {
        let mut work = VecDeque::new();
        loop {
            let closing = self.take(&mut work);
            while !work.is_empty() {
                if let Err(error) = self.write_batch(&mut work) {
                    self.fail(error, work);
                    self.stop_helper();
                    return;
                }
            }
            if closing {
                if let Err(error) = self.write_closing() {
                    self.fail(error, work);
                }
                self.stop_helper();
                return;
            }
        }
    }

    /// Waits for changes and takes them all. True when the log is to be closed after them.
    fn take(&self, work: &mut VecDeque<Queued>) -> bool {
        let mut state = self.shared.state.lock();
        while state.queue.is_empty() && !state.closing {
            self.shared.work.wait(&mut state);
        }
        state.push_hint();
        std::mem::swap(&mut state.queue, work);
        state.closing
    }

    fn write_batch(&mut self, work: &mut VecDeque<Queued>) -> Result<(), Error> {
        let first = work.front().map_or(0, |queued| queued.body);
        let bytes_at_start = batch::padded(self.meta.body() + first);
        self.segments
            .make_room(batch::padded(first), bytes_at_start)?;
        let started = self.segments.at_start();
        let built = self.build(work);
        if built.records > 0 {
            self.segments.write(&self.buf)?;
            self.options
                .observer
                .written(built.records as usize, self.buf.len());
            self.sync()?;
        }
        let purged = self.complete(work, &built)?;
        for queued in work.drain(..built.changes) {
            if let Some(done) = queued.done {
                done(Ok(()));
            }
        }
        self.shrink();
        match self.meta.purged {
            Some(upto) if purged || started => self.segments.reclaim(upto.index),
            _ => Ok(()),
        }
    }

    /// Encodes as much of the queue as fits one batch.
    fn build(&mut self, work: &VecDeque<Queued>) -> Built {
        let (at_start, base) = (self.segments.at_start(), self.segments.end());
        let generation = self.segments.active().header.generation;
        let limit = self.segments.room().min(BATCH_BYTES_MAX);
        self.buf.clear();
        self.buf.resize(BATCH_HEADER, 0);
        let mut to = Encoder {
            buf: &mut self.buf,
            generation,
            base,
        };
        let mut records = if at_start {
            self.meta.encode(&mut to)
        } else {
            0
        };
        let first = base + to.buf.len() as u64;
        let mut changes = 0;
        for queued in work {
            let body = to.buf.len() - BATCH_HEADER + queued.body;
            if changes > 0 && batch::padded(body) > limit {
                break;
            }
            records += encode(&queued.op, &mut to);
            changes += 1;
        }
        batch::seal(
            &mut self.buf,
            generation,
            base,
            self.segments.durable(),
            records,
        );
        Built {
            changes,
            first,
            records,
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        #[cfg(feature = "planted-faults")]
        {
            self.batches += 1;
            let late = !self.batches.is_multiple_of(LATE_SYNC_BATCHES);
            if self.options.faults.ack_before_sync && late {
                return Ok(());
            }
        }
        self.segments.sync()
    }

    /// Makes a written batch known to readers. True if it held a purge.
    fn complete(&mut self, work: &VecDeque<Queued>, built: &Built) -> Result<bool, Error> {
        let segment = Arc::clone(self.segments.active());
        let (mut offset, mut purged, mut durable) = (built.first, false, 0);
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        for queued in work.iter().take(built.changes) {
            let current = queued.stamp == state.truncations;
            match &queued.op {
                Op::Append(entries) => {
                    for Entry { id, payload, .. } in entries {
                        if !state.index.put(id.index, &segment, offset, payload.len()) {
                            let (file, what) = (segment.path.clone(), "entries do not follow");
                            return Err(Error::Malformed { file, offset, what });
                        }
                        self.segments.note(id.index);
                        offset += (RECORD_HEADER + payload.len()) as u64;
                        durable = if current { id.index + 1 } else { durable };
                    }
                }
                op => {
                    offset += queued.body as u64;
                    match op {
                        Op::Vote(vote) => self.meta.vote = Some(vote.clone()),
                        Op::Committed(hint) => self.meta.committed = Some(hint.clone()),
                        Op::Truncate(index) => {
                            state.index.truncate_after(*index);
                            durable = index.filter(|_| current).map_or(0, |index| index + 1);
                        }
                        Op::Purge(upto) => {
                            state.index.purge(upto.index);
                            self.meta.purged = Some(*upto);
                            purged = true;
                        }
                        Op::Append(_) | Op::Barrier => {}
                    }
                }
            }
            state.queue_bytes -= queued.body;
        }
        state.view.tail.evict(durable, self.options.tail_bytes_max);
        drop(guard);
        self.shared.room.notify_all();
        Ok(purged)
    }

    /// A buffer that one huge record has grown is not kept for ever.
    fn shrink(&mut self) {
        if self.buf.capacity() > 2 * BATCH_BYTES_MAX {
            self.buf = Vec::new();
        }
    }

    /// Ends a clean run with a batch that claims everything before it, so that damage to the last
    /// entries is told from a torn tail at the next start.
    fn write_closing(&mut self) -> Result<(), Error> {
        if !self.segments.unclaimed() || self.segments.room() < batch::padded(0) {
            return Ok(());
        }
        self.build(&VecDeque::new());
        self.segments.write(&self.buf)?;
        self.segments.sync()
    }

    /// Stops the log for good: everyone who waits and everyone who comes gets the error.
    fn fail(&self, error: Error, work: VecDeque<Queued>) {
        let error = error.poison();
        let mut state = self.shared.state.lock();
        state.poisoned = Some(error.clone());
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        self.shared.room.notify_all();
        self.options.observer.failed(&error);
        for done in work
            .into_iter()
            .chain(queue)
            .filter_map(|queued| queued.done)
        {
            done(Err(error.clone()));
        }
    }

    fn stop_helper(&mut self) {
        self.segments.spares.close();
        if let Some(helper) = self.helper.take()
            && helper.join().is_err()
        {
            tracing::error!("the thread that prepares log segments has panicked");
        }
    }
}

impl Drop for Writer {
    /// A callback that panics ends the thread; nobody may wait for it for ever.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fail(Error::Panicked, VecDeque::new());
        }
    }
}

/// Returns the number of records.
fn encode(op: &Op, to: &mut Encoder<'_>) -> u32 {
    match op {
        Op::Append(entries) => {
            entries.iter().for_each(|entry| to.entry(entry));
            return entries.len() as u32;
        }
        Op::Vote(vote) => to.vote(vote),
        Op::Committed(hint) => to.committed(hint),
        Op::Truncate(index) => to.truncate(*index),
        Op::Purge(upto) => to.purge(*upto),
        Op::Barrier => return 0,
    }
    1
}
