//! The segments of the log: where the next batch goes, when a new segment begins, and when an old
//! one holds nothing live any more.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use crate::batch::PAGE;
use crate::segment::{FIRST_BATCH, Name, Segment, SegmentHeader};
use crate::spare::{Spare, Spares};
use crate::{Error, Options};

/// Size in bytes of the very first segment. It is not zeroed, so it is left for a zeroed spare as
/// soon as there is one.
const STARTER_BYTES: u64 = 1 << 20;

/// All segments in order; the last one takes the batches.
pub(crate) struct Segments {
    options: Options,
    pub spares: Arc<Spares>,
    sealed: VecDeque<Held>,
    active: Held,
    /// Where the next batch goes.
    end: u64,
    /// Everything in the active segment below this is durable.
    durable: u64,
    /// The newest `durable` that a batch in the active segment has claimed.
    claimed: u64,
}

/// A segment and the highest entry index that it holds, dead ones included.
pub(crate) struct Held {
    pub segment: Arc<Segment>,
    pub top: Option<u64>,
}

impl Segments {
    /// Takes over what recovery found, or begins the first segment.
    pub fn open(
        options: Options,
        spares: Arc<Spares>,
        mut found: VecDeque<Held>,
        end: u64,
        claimed: u64,
    ) -> Result<Self, Error> {
        let durable = if options.sync { end } else { 0 };
        if let Some(active) = found.pop_back() {
            return Ok(Self {
                options,
                spares,
                sealed: found,
                active,
                end,
                durable,
                claimed,
            });
        }
        let capacity = options.segment_bytes.min(STARTER_BYTES);
        let spare = fresh(&options, &spares, capacity)?;
        let first = SegmentHeader {
            sequence: 1,
            generation: generation(),
            capacity,
            recycled: false,
            previous_generation: 0,
            previous_end: 0,
        };
        let active = Held {
            segment: name(&options, spare, first)?,
            top: None,
        };
        let (sealed, end, durable) = (VecDeque::new(), FIRST_BATCH, durable.min(FIRST_BATCH));
        Ok(Self {
            options,
            spares,
            sealed,
            active,
            end,
            durable,
            claimed: 0,
        })
    }

    pub fn active(&self) -> &Arc<Segment> {
        &self.active.segment
    }

    /// Offset at which the next batch will lie.
    pub fn end(&self) -> u64 {
        self.end
    }

    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether no batch is in the active segment.
    pub fn at_start(&self) -> bool {
        self.end == FIRST_BATCH
    }

    /// Bytes left in the active segment.
    pub fn room(&self) -> usize {
        let capacity = self.active.segment.header.capacity;
        usize::try_from(capacity.saturating_sub(self.end)).unwrap_or(usize::MAX)
    }

    /// Whether the last batch written is claimed durable by no batch after it.
    pub fn unclaimed(&self) -> bool {
        self.claimed < self.end && !self.at_start()
    }

    /// Makes room for a batch of `bytes`, beginning a new segment if it must; `bytes_at_start` is
    /// its size there.
    pub fn make_room(&mut self, bytes: usize, bytes_at_start: usize) -> Result<(), Error> {
        let bytes = if self.at_start() {
            bytes_at_start
        } else {
            bytes
        };
        let starter = self.active.segment.header.capacity < self.options.segment_bytes;
        if bytes <= self.room() && !(starter && !self.at_start() && self.spares.any()) {
            return Ok(());
        }
        let needed = FIRST_BATCH + bytes_at_start as u64;
        self.roll(needed)
    }

    /// Begins a new segment. The one before is durable to its end, and the new one says so.
    fn roll(&mut self, needed: u64) -> Result<(), Error> {
        if self.durable < self.end {
            self.sync()?;
        }
        let capacity = self
            .options
            .segment_bytes
            .max(needed.next_multiple_of(PAGE as u64));
        let spare = if capacity == self.options.segment_bytes {
            self.spares.take()
        } else {
            None
        };
        let spare = match spare {
            Some(spare) => spare,
            None => fresh(&self.options, &self.spares, capacity)?,
        };
        let before = self.active.segment.header;
        let header = SegmentHeader {
            sequence: before.sequence + 1,
            generation: generation(),
            capacity,
            recycled: spare.recycled,
            previous_generation: before.generation,
            previous_end: self.end,
        };
        let next = Held {
            segment: name(&self.options, spare, header)?,
            top: None,
        };
        self.sealed
            .push_back(std::mem::replace(&mut self.active, next));
        (self.end, self.claimed) = (FIRST_BATCH, 0);
        self.durable = if self.options.sync { FIRST_BATCH } else { 0 };
        self.options.observer.rolled();
        Ok(())
    }

    /// Writes a sealed batch at [`Segments::end`].
    pub fn write(&mut self, batch: &[u8]) -> Result<(), Error> {
        let Segment { file, path, .. } = &*self.active.segment;
        file.write_at(batch, self.end)
            .map_err(|e| Error::io("write", path, e))?;
        self.end += batch.len() as u64;
        self.claimed = self.durable;
        Ok(())
    }

    /// Makes what was written durable. A failure is final: the kernel may have dropped the pages
    /// and would report success the next time.
    pub fn sync(&mut self) -> Result<(), Error> {
        if !self.options.sync {
            return Ok(());
        }
        let Segment { file, path, .. } = &*self.active.segment;
        let start = Instant::now();
        file.sync().map_err(|e| Error::io("sync", path, e))?;
        self.options.observer.synced(start.elapsed());
        self.durable = self.end;
        Ok(())
    }

    /// Notes the index of an entry written to the active segment.
    pub fn note(&mut self, index: u64) {
        self.active.top = self.active.top.max(Some(index));
    }

    /// Lets go of the oldest segments that hold no entry beyond `purged`. Called when the purge
    /// and the active segment's copy of vote and positions are durable.
    pub fn reclaim(&mut self, purged: u64) -> Result<(), Error> {
        while self
            .sealed
            .front()
            .is_some_and(|held| held.top <= Some(purged))
        {
            let Some(held) = self.sealed.pop_front() else {
                break;
            };
            let Segment { path, file, header } = &*held.segment;
            self.spares.recycle(path, file, header.capacity)?;
        }
        Ok(())
    }
}

/// A new file with its blocks reserved. They are not zeroed: that would stop the log for long.
fn fresh(options: &Options, spares: &Spares, capacity: u64) -> Result<Spare, Error> {
    let path = spares.path();
    let file = options
        .storage
        .create(&path)
        .map_err(|e| Error::io("create", &path, e))?;
    file.allocate(capacity)
        .map_err(|e| Error::io("allocate", &path, e))?;
    Ok(Spare {
        path,
        file,
        recycled: false,
    })
}

/// Gives a spare its header, then its name. The header is durable before the name is given, so
/// that a named segment always has a good one.
fn name(options: &Options, spare: Spare, header: SegmentHeader) -> Result<Arc<Segment>, Error> {
    let Spare {
        path: from, file, ..
    } = spare;
    file.write_at(&header.encode(), 0)
        .map_err(|e| Error::io("write", &from, e))?;
    if options.sync {
        file.sync().map_err(|e| Error::io("sync", &from, e))?;
    }
    let path = Name::Segment(header.sequence).path(&options.dir);
    options
        .storage
        .rename(&from, &path)
        .map_err(|e| Error::io("rename", &from, e))?;
    if options.sync {
        let synced = options.storage.sync_dir(&options.dir);
        synced.map_err(|e| Error::io("sync directory", &options.dir, e))?;
    }
    Ok(Arc::new(Segment { path, file, header }))
}

/// A random generation, from the keys that the standard library draws for its hash maps.
fn generation() -> u64 {
    loop {
        let drawn = RandomState::new().build_hasher().finish();
        if drawn != 0 {
            return drawn;
        }
    }
}
