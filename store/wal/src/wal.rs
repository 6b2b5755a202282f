//! The log's public face: checks, makes a change visible, queues it for the writer.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::recovery::{self, Found};
use crate::segments::Segments;
use crate::shared::{LogState, Op, Shared};
use crate::spare::Spares;
use crate::writer::Writer;
use crate::{BATCH_BYTES_MAX, Done, Entry, EntryId, Error, Options, RECORD_BYTES_MAX, State, read};

/// The raft log on disk. Clones are handles to one log; dropping the last one closes it.
#[derive(Clone)]
pub struct Wal(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    queue_bytes_max: usize,
}

impl Wal {
    /// Opens the log in `options.dir`, creating it if there is none, and starts its thread. The
    /// caller holds the lock on the directory.
    ///
    /// # Errors
    /// [`Error::Checksum`], [`Error::Malformed`] or [`Error::MissingSegment`] if durable bytes are
    /// damaged: nothing is cut then, and the log stays closed. [`Error::Version`] for a format of
    /// another version. [`Error::Io`] or [`Error::NoSpace`] if the system refuses.
    pub fn open(options: Options) -> Result<Self, Error> {
        let options = options.normal();
        let Found {
            replay,
            segments,
            end,
            claimed,
            spares,
            spare_number,
            recovery,
        } = recovery::recover(&options)?;
        let spares = Arc::new(Spares::new(&options, spares, spare_number));
        let queue_bytes_max = options.queue_bytes_max;
        let segments =
            Segments::open(options.clone(), Arc::clone(&spares), segments, end, claimed)?;
        let state = LogState {
            vote: replay.meta.vote.clone(),
            committed: replay.meta.committed.clone(),
            view: replay.view,
            index: replay.index,
            recovered: recovery,
            ..LogState::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
        });
        let helper = match options.prepare {
            true => Some(spawn(&options, "wal-zero", move || spares.run())?),
            false => None,
        };
        let writer = Writer {
            shared: Arc::clone(&shared),
            options: options.clone(),
            segments,
            meta: replay.meta,
            helper,
            buf: Vec::new(),
            #[cfg(feature = "planted-faults")]
            batches: 0,
        };
        let writer = Mutex::new(Some(spawn(&options, "wal", move || writer.run())?));
        Ok(Self(Arc::new(Handle {
            shared,
            writer,
            queue_bytes_max,
        })))
    }

    /// The log as callers see it now.
    pub fn state(&self) -> State {
        let state = self.0.shared.state.lock();
        State {
            purged: state.view.purged(),
            last: state.view.last(),
            vote: state.vote.clone(),
            committed: state.committed.clone(),
            recovered: state.recovered.clone(),
        }
    }

    /// Appends entries. Readers see them at once; `done` is called when they are durable, with
    /// everything queued before. Waits while the queue is full.
    ///
    /// # Errors
    /// [`Error::Gap`] if the entries do not follow the last one, [`Error::TooLarge`], or the
    /// failure that stopped the log. Nothing is changed then and `done` is not called.
    pub fn append(&self, mut entries: Vec<Entry>, done: Done) -> Result<(), Error> {
        for entry in &entries {
            check_size(entry.payload.len())?;
        }
        let bytes = entries.iter().map(|entry| entry.payload.len()).sum();
        let mut state = self.admit(bytes)?;
        state.view.check(&entries)?;
        state.view.append(&entries)?;
        while let Some(rest) = split(&mut entries) {
            state.push(Op::Append(std::mem::replace(&mut entries, rest)), None);
        }
        let op = if entries.is_empty() {
            Op::Barrier
        } else {
            Op::Append(entries)
        };
        state.push(op, Some(done));
        self.wake(state);
        Ok(())
    }

    /// Saves the vote; `done` is called when it is durable.
    ///
    /// # Errors
    /// [`Error::TooLarge`] or the failure that stopped the log; `done` is not called then.
    pub fn save_vote(&self, vote: Bytes, done: Done) -> Result<(), Error> {
        check_size(vote.len())?;
        let mut state = self.admit(vote.len())?;
        state.vote = Some(vote.clone());
        state.push(Op::Vote(vote), Some(done));
        self.wake(state);
        Ok(())
    }

    /// Saves the committed hint. It causes no write of its own: the newest hint goes with the
    /// next batch, behind the entries appended before it, or with [`Wal::close`]. So after a crash
    /// it may be older than what was saved last, and never ahead of the log.
    ///
    /// # Errors
    /// [`Error::TooLarge`] or the failure that stopped the log.
    pub fn save_committed(&self, hint: Bytes) -> Result<(), Error> {
        check_size(hint.len())?;
        let mut state = self.0.shared.state.lock();
        state.healthy()?;
        if state.closing {
            return Err(Error::Closed);
        }
        state.committed = Some(hint);
        state.hint_pending = true;
        Ok(())
    }

    /// Removes the entries after `index`, or every entry. In order with appends, queued or not.
    ///
    /// # Errors
    /// [`Error::Purged`] if `index` is below the purge point, or the failure that stopped the log;
    /// `done` is not called then.
    pub fn truncate_after(&self, index: Option<u64>, done: Done) -> Result<(), Error> {
        let mut state = self.admit(0)?;
        let op = if state.view.truncate_after(index)? {
            state.truncations += 1;
            Op::Truncate(index)
        } else {
            Op::Barrier
        };
        state.push(op, Some(done));
        self.wake(state);
        Ok(())
    }

    /// Removes the entries up to and including `upto`, which may lie beyond the last one: then
    /// the log is empty and goes on after it, as a snapshot install needs. Segments that hold
    /// nothing else are given back once the purge is durable. At or below the purge point it
    /// changes nothing.
    ///
    /// # Errors
    /// The failure that stopped the log; `done` is not called then.
    pub fn purge(&self, upto: EntryId, done: Done) -> Result<(), Error> {
        let mut state = self.admit(0)?;
        let op = if state.view.purge(upto) {
            Op::Purge(upto)
        } else {
            Op::Barrier
        };
        state.push(op, Some(done));
        self.wake(state);
        Ok(())
    }

    /// Entries of `from..to_exclusive`, contiguous and beginning exactly at `from`: empty if
    /// `from` is purged or beyond the end, otherwise at least one, and no more payload than
    /// `bytes_max` after the first. Durable entries that left memory are read from disk, checked,
    /// and share the buffer they were read into.
    ///
    /// # Errors
    /// [`Error::Checksum`] or [`Error::Malformed`] if the disk gives back other bytes than were
    /// written, [`Error::Io`], or the failure that stopped the log.
    pub fn read(
        &self,
        from: u64,
        to_exclusive: u64,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, Error> {
        read::read(&self.0.shared, from, to_exclusive, bytes_max)
    }

    /// The id of the entry at `index`, or of the purge point; `None` for every other index.
    ///
    /// # Errors
    /// The failure that stopped the log.
    pub fn id_of(&self, index: u64) -> Result<Option<EntryId>, Error> {
        let state = self.0.shared.state.lock();
        state.healthy()?;
        Ok(state.view.id_of(index))
    }

    /// The last of the entries that make the log longer than `bytes`, by whole segments; `None` if it
    /// is not longer. The newest segment counts whole, and is never part of the surplus.
    pub fn surplus(&self, bytes: u64) -> Option<u64> {
        self.0.shared.state.lock().index.surplus(bytes)
    }

    /// The failure that stopped the log, if one has. The process must stop then.
    pub fn poisoned(&self) -> Option<Error> {
        self.0.shared.state.lock().poisoned.clone()
    }

    /// Writes and syncs what is queued, then ends the thread. Other handles get
    /// [`Error::Closed`] for changes and can still read.
    pub fn close(self) {
        self.0.close();
    }

    /// Whether a change of so many bytes would be queued without waiting for the disk, were nothing
    /// else queued meanwhile.
    pub fn has_room(&self, bytes: usize) -> bool {
        let state = self.0.shared.state.lock();
        state.queue_bytes == 0 || state.queue_bytes.saturating_add(bytes) <= self.0.queue_bytes_max
    }

    /// Waits for room in the queue.
    fn admit(&self, bytes: usize) -> Result<MutexGuard<'_, LogState>, Error> {
        let mut state = self.0.shared.state.lock();
        loop {
            state.healthy()?;
            if state.closing {
                return Err(Error::Closed);
            }
            let full = state.queue_bytes.saturating_add(bytes) > self.0.queue_bytes_max;
            if state.queue_bytes == 0 || !full {
                return Ok(state);
            }
            self.0.shared.room.wait(&mut state);
        }
    }

    fn wake(&self, state: MutexGuard<'_, LogState>) {
        drop(state);
        self.0.shared.work.notify_one();
    }
}

impl Handle {
    fn close(&self) {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_one();
        self.shared.room.notify_all();
        let Some(writer) = self.writer.lock().take() else {
            return;
        };
        // The last handle may be dropped by a callback: the thread cannot wait for itself.
        if writer.thread().id() != thread::current().id() && writer.join().is_err() {
            tracing::error!("the thread that writes the log has panicked");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes <= RECORD_BYTES_MAX {
        Ok(())
    } else {
        Err(Error::TooLarge {
            bytes,
            max: RECORD_BYTES_MAX,
        })
    }
}

/// Cuts `entries` so that they fit one batch, and returns the rest if there is any.
fn split(entries: &mut Vec<Entry>) -> Option<Vec<Entry>> {
    let mut bytes = 0;
    let over = entries.iter().position(|entry| {
        bytes += crate::record::RECORD_HEADER + entry.payload.len();
        bytes > BATCH_BYTES_MAX / 2
    })?;
    // One entry alone may be larger than a batch.
    let keep = over.max(1);
    (keep < entries.len()).then(|| entries.split_off(keep))
}

fn spawn(
    options: &Options,
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread
        .spawn(run)
        .map_err(|e| Error::io("start the log thread for", &options.dir, e))
}
