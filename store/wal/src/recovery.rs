//! Opening: reads every segment, tells a torn tail from corruption, cuts the one, refuses the
//! other.
//!
//! A power cut can tear only what was not synced, which is the last batch. So whatever fails its
//! checksum is corruption if it lies in a segment that another one follows, or below an offset
//! which a later batch of the same generation claims to have been durable.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use crate::batch::{self, BATCH_HEADER, PAGE};
use crate::replay::{Replay, Stop};
use crate::segment::{FIRST_BATCH, Name, Segment, SegmentHeader};
use crate::segments::Held;
use crate::spare::{SPARES_MAX, Spare};
use crate::window::Window;
use crate::{BATCH_BYTES_MAX, Cut, Error, Options, Recovery};

/// What was found on disk.
pub(crate) struct Found {
    pub replay: Replay,
    pub segments: VecDeque<Held>,
    /// Where the next batch goes in the last segment.
    pub end: u64,
    /// The newest offset claimed durable there.
    pub claimed: u64,
    pub spares: Vec<Spare>,
    /// The highest number of a spare.
    pub spare_number: u64,
    pub recovery: Recovery,
}

/// Reads the log in `options.dir`, which is created if missing.
pub(crate) fn recover(options: &Options) -> Result<Found, Error> {
    let (sequences, spare_numbers) = list(options)?;
    let segments = open_all(options, &sequences)?;
    let mut replay = Replay::default();
    let mut held = VecDeque::new();
    let mut found_cut = None;
    let (mut end, mut claimed) = (FIRST_BATCH, 0);
    for (at, segment) in segments.iter().enumerate() {
        let mut window = Window::new(segment)?;
        let limit = segments.get(at + 1).map(|next| next.header.previous_end);
        let mut stop = replay.segment(segment, &mut window, limit)?;
        held.push_back(Held {
            segment: Arc::clone(segment),
            top: replay.take_top(),
        });
        match (limit, stop.bad.take()) {
            (Some(_), Some(bad)) => return Err(bad),
            (Some(_), None) => {}
            (None, bad) => {
                (end, claimed) = (stop.end, stop.claimed);
                found_cut = settle(options, segment, &mut window, &stop, bad)?;
            }
        }
    }
    replay.finish(&segments)?;
    let spares = open_spares(options, &spare_numbers)?;
    let recovery = Recovery {
        segments: segments.len(),
        entries: replay.index.len() as u64,
        cut: found_cut,
    };
    let spare_number = spare_numbers.iter().copied().max().unwrap_or(0);
    Ok(Found {
        replay,
        segments: held,
        end,
        claimed,
        spares,
        spare_number,
        recovery,
    })
}

/// The numbers of segments and of spares, ascending.
fn list(options: &Options) -> Result<(Vec<u64>, Vec<u64>), Error> {
    let (dir, storage) = (&options.dir, &options.storage);
    storage
        .create_dir(dir)
        .map_err(|e| Error::io("create directory", dir, e))?;
    if options.sync {
        // An earlier run may have died between a change of names and its sync.
        storage
            .sync_dir(dir)
            .map_err(|e| Error::io("sync directory", dir, e))?;
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        storage
            .sync_dir(parent)
            .map_err(|e| Error::io("sync directory", parent, e))?;
    }
    let names = storage.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let (mut sequences, mut spares) = (Vec::new(), Vec::new());
    for name in names {
        match Name::parse(&name) {
            Some(Name::Segment(sequence)) => sequences.push(sequence),
            Some(Name::Spare(number)) => spares.push(number),
            None => {}
        }
    }
    sequences.sort_unstable();
    spares.sort_unstable();
    Ok((sequences, spares))
}

/// Opens the segments and checks that each is the one which its successor followed.
fn open_all(options: &Options, sequences: &[u64]) -> Result<Vec<Arc<Segment>>, Error> {
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for &sequence in sequences {
        let path = Name::Segment(sequence).path(&options.dir);
        let file = options
            .storage
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        let len = file.len().map_err(|e| Error::io("measure", &path, e))?;
        let mut page = vec![0; usize::try_from(len).unwrap_or(PAGE).min(PAGE)];
        file.read_at(&mut page, 0)
            .map_err(|e| Error::io("read", &path, e))?;
        let header = SegmentHeader::decode(&page, &path)?;
        let malformed = |what| Error::Malformed {
            file: path.clone(),
            offset: 0,
            what,
        };
        if header.sequence != sequence {
            return Err(malformed("the header belongs to another segment"));
        }
        if let Some(before) = segments.last() {
            if before.header.sequence + 1 != sequence {
                let file = Name::Segment(before.header.sequence + 1).path(&options.dir);
                return Err(Error::MissingSegment { file });
            }
            if before.header.generation != header.previous_generation {
                return Err(malformed(
                    "the segment before is not the one that was written",
                ));
            }
        }
        segments.push(Arc::new(Segment { path, file, header }));
    }
    Ok(segments)
}

/// Settles the end of the last segment: proves that nothing durable is lost, zeroes what a torn
/// batch may have left, and makes the whole segment durable before anything is appended.
fn settle(
    options: &Options,
    segment: &Segment,
    window: &mut Window<'_>,
    stop: &Stop,
    bad: Option<Error>,
) -> Result<Option<Cut>, Error> {
    let io = |op| move |e| Error::io(op, &segment.path, e);
    let mut zero_to = stop.end + BATCH_BYTES_MAX as u64;
    if let Some(bad) = bad {
        let later = later_batches(segment, window, stop.end)?;
        if later.claims {
            return Err(bad);
        }
        zero_to = zero_to.max(later.end);
    }
    zero_to = zero_to
        .max(stop.end + stop.torn)
        .min(segment.header.capacity);
    let dirty = zero(segment, window, stop.end, zero_to).map_err(io("write"))?;
    let len = segment.file.len().map_err(io("measure"))?;
    if len < segment.header.capacity {
        segment
            .file
            .allocate(segment.header.capacity)
            .map_err(io("allocate"))?;
    }
    if options.sync {
        segment.file.sync().map_err(io("sync"))?;
    }
    // In a recycled file, bytes without a header of this generation are those of its earlier life.
    let bytes = if segment.header.recycled {
        stop.torn
    } else {
        stop.torn.max(dirty)
    };
    let cut = Cut {
        file: segment.path.clone(),
        offset: stop.end,
        bytes,
    };
    Ok((bytes > 0).then_some(cut))
}

struct Later {
    /// Whether one of them claims that more than the good part was durable.
    claims: bool,
    /// Where the last of them ends.
    end: u64,
}

/// Looks for batch headers of this life of the segment after a bad batch at `offset`. A header is
/// proof enough: it was written by this log, and what it claims was true then.
fn later_batches(segment: &Segment, window: &mut Window<'_>, offset: u64) -> Result<Later, Error> {
    let generation = segment.header.generation;
    let mut later = Later {
        claims: false,
        end: offset,
    };
    let mut at = offset;
    while at < window.end {
        let bytes = window.get(at, BATCH_HEADER)?;
        if batch::looks_like_one(bytes, generation)
            && let Ok(header) = batch::header(bytes, generation, at)
        {
            later.claims |= header.durable > offset;
            later.end = at + batch::padded(header.body) as u64;
        }
        at += PAGE as u64;
    }
    Ok(later)
}

/// Overwrites what is not zero in `from..to`. Returns how far after `from` the last such page is.
fn zero(segment: &Segment, window: &mut Window<'_>, from: u64, to: u64) -> std::io::Result<u64> {
    static ZEROS: [u8; 16 * PAGE] = [0; 16 * PAGE];
    let (mut at, mut dirty) = (from, 0);
    while at < to {
        let len = usize::try_from(to - at)
            .unwrap_or(ZEROS.len())
            .min(ZEROS.len());
        let bytes = window.get(at, len).map_err(std::io::Error::other)?;
        let used = bytes.iter().rposition(|byte| *byte != 0);
        if let (Some(last), Some(zeros)) = (used, ZEROS.get(..bytes.len())) {
            dirty = at - from + last as u64 + 1;
            segment.file.write_at(zeros, at)?;
        }
        at += len as u64;
    }
    Ok(dirty)
}

/// Keeps whole spares and removes the rest: half-made ones, or ones of another size.
fn open_spares(options: &Options, numbers: &[u64]) -> Result<Vec<Spare>, Error> {
    let mut spares = Vec::new();
    for &number in numbers {
        let path = Name::Spare(number).path(&options.dir);
        let file = options
            .storage
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        let len = file.len().map_err(|e| Error::io("measure", &path, e))?;
        if len == options.segment_bytes && spares.len() < SPARES_MAX {
            // It may have been a segment once, so nothing is known of its bytes.
            spares.push(Spare {
                path,
                file,
                recycled: true,
            });
        } else {
            drop(file);
            options
                .storage
                .remove(&path)
                .map_err(|e| Error::io("remove", &path, e))?;
        }
    }
    Ok(spares)
}
