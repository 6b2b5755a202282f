//! Where each entry lies on disk: eight bytes an entry, in the order of the written stream.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::segment::Segment;

/// Positions of the entries `first..first + places.len()`.
///
/// It follows what the writer has made durable, not what callers have queued: an entry that is
/// visible but not here is still in the tail.
#[derive(Default)]
pub(crate) struct Index {
    first: u64,
    places: VecDeque<Place>,
    /// From which index on entries lie in which segment, ascending.
    runs: VecDeque<Run>,
}

#[derive(Clone, Copy)]
struct Place {
    offset: u32,
    payload: u32,
}

struct Run {
    first: u64,
    segment: Arc<Segment>,
}

/// A place on disk, ready to be read.
pub(crate) struct Position<'a> {
    pub segment: &'a Arc<Segment>,
    /// Offset of the record in bytes.
    pub offset: u64,
    /// Payload bytes.
    pub payload: usize,
}

impl Index {
    /// Notes an entry. False if it does not follow the last one.
    pub fn put(&mut self, index: u64, segment: &Arc<Segment>, offset: u64, payload: usize) -> bool {
        let (Ok(offset), Ok(payload)) = (u32::try_from(offset), u32::try_from(payload)) else {
            return false;
        };
        if self.places.is_empty() {
            self.first = index;
            self.runs.clear();
        }
        if index != self.first + self.places.len() as u64 {
            return false;
        }
        let same = |run: &Run| Arc::ptr_eq(&run.segment, segment);
        if !self.runs.back().is_some_and(same) {
            self.runs.push_back(Run {
                first: index,
                segment: Arc::clone(segment),
            });
        }
        self.places.push_back(Place { offset, payload });
        true
    }

    pub fn get(&self, index: u64) -> Option<Position<'_>> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        let place = self.places.get(at)?;
        let run = self
            .runs
            .partition_point(|run| run.first <= index)
            .checked_sub(1)?;
        Some(Position {
            segment: &self.runs.get(run)?.segment,
            offset: place.offset.into(),
            payload: place.payload as usize,
        })
    }

    /// Forgets entries after `index`, or all.
    pub fn truncate_after(&mut self, index: Option<u64>) {
        let keep = match index {
            Some(index) => index.saturating_add(1).saturating_sub(self.first),
            None => 0,
        };
        self.places
            .truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        let end = self.first + self.places.len() as u64;
        while self.runs.back().is_some_and(|run| run.first >= end) {
            self.runs.pop_back();
        }
    }

    /// Forgets entries up to and including `upto`.
    pub fn purge(&mut self, upto: u64) {
        let gone = upto.saturating_add(1).saturating_sub(self.first);
        let gone = usize::try_from(gone)
            .unwrap_or(usize::MAX)
            .min(self.places.len());
        self.places.drain(..gone);
        self.first += gone as u64;
        if self.places.is_empty() {
            self.runs.clear();
        }
        while self.runs.get(1).is_some_and(|run| run.first <= self.first) {
            self.runs.pop_front();
        }
    }

    /// The last entry before the newest segments that together take no more than `bytes`; `None` if
    /// all of them do.
    pub fn surplus(&self, bytes: u64) -> Option<u64> {
        let mut taken = 0_u64;
        for (at, run) in self.runs.iter().enumerate().rev() {
            taken = taken.saturating_add(run.segment.header.capacity);
            // The newest segment is being written, however large it is.
            if taken > bytes
                && let Some(kept) = self.runs.get(at + 1)
            {
                return kept.first.checked_sub(1);
            }
        }
        None
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }
}
