//! The latest revisions, encoded, for all streams to read.

use std::{collections::VecDeque, sync::Arc};

use crate::event::Revision;

/// Consecutive revisions up to the latest one published, bounded by bytes.
#[derive(Debug)]
pub(crate) struct Ring {
    revisions: VecDeque<Arc<Revision>>,
    /// Everything from this revision on is here, as far as it is published.
    start: i64,
    bytes: usize,
    bytes_max: usize,
    /// The latest revision here with an event whose record before is not known.
    lacks_prev: i64,
}

impl Ring {
    /// Begins empty, with `start` the next revision to be published.
    pub(crate) fn new(start: i64, bytes_max: usize) -> Ring {
        Ring {
            revisions: VecDeque::new(),
            start,
            bytes: 0,
            bytes_max,
            lacks_prev: 0,
        }
    }

    /// Forgets everything; `start` is the next revision to be published.
    pub(crate) fn restart(&mut self, start: i64) {
        *self = Ring::new(start, self.bytes_max);
    }

    pub(crate) fn push(&mut self, revision: Arc<Revision>) {
        // Revisions may be left out (a restore that bumps them), but not found in between later.
        if self
            .revisions
            .back()
            .is_some_and(|last| last.main + 1 != revision.main)
        {
            self.restart(revision.main);
        }
        if revision.lacks_prev() {
            self.lacks_prev = revision.main;
        }
        if self.revisions.is_empty() {
            self.start = revision.main;
        }
        self.bytes += revision.bytes;
        self.revisions.push_back(revision);
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.revisions.pop_front()
        {
            self.bytes -= oldest.bytes;
            self.start = oldest.main + 1;
        }
    }

    /// Whether all revisions from `from` on are here, with what the watches need to know.
    pub(crate) fn serves(&self, from: i64, want_prev: bool) -> bool {
        from >= self.start && !(want_prev && from <= self.lacks_prev)
    }

    pub(crate) fn get(&self, main: i64) -> Option<&Arc<Revision>> {
        let at = usize::try_from(main.checked_sub(self.start)?).ok()?;
        self.revisions.get(at)
    }

    /// Revisions from `from` to `to`, in order; fewer once they make `bytes_max` bytes together.
    pub(crate) fn slice(&self, from: i64, to: i64, bytes_max: usize) -> Vec<Arc<Revision>> {
        let mut bytes = 0;
        let mut slice = Vec::new();
        for main in from..=to {
            let Some(revision) = self.get(main) else {
                break;
            };
            if bytes > bytes_max {
                break;
            }
            bytes += revision.bytes;
            slice.push(revision.clone());
        }
        slice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(main: i64) -> Arc<Revision> {
        Arc::new(Revision {
            main,
            events: Vec::new(),
            bytes: 10,
        })
    }

    #[test]
    fn it_keeps_the_latest_within_its_bytes() {
        let mut ring = Ring::new(5, 30);
        assert!(ring.serves(5, true) && !ring.serves(4, false));
        for main in 5..=9 {
            ring.push(revision(main));
        }
        assert!(ring.serves(7, true) && !ring.serves(6, true));
        let mains = |slice: Vec<Arc<Revision>>| slice.iter().map(|r| r.main).collect::<Vec<_>>();
        assert_eq!(mains(ring.slice(7, 100, 1000)), [7, 8, 9]);
        assert_eq!(mains(ring.slice(7, 8, 1000)), [7, 8]);
        assert_eq!(mains(ring.slice(7, 9, 5)), [7]);
        assert!(ring.get(6).is_none() && ring.get(10).is_none());
        assert!(ring.get(i64::MIN).is_none());
    }

    #[test]
    fn a_gap_begins_anew() {
        let mut ring = Ring::new(2, 1000);
        ring.push(revision(2));
        ring.push(revision(50));
        assert!(ring.serves(50, false) && !ring.serves(3, false));
        assert_eq!(ring.get(50).map(|r| r.main), Some(50));
    }
}
