//! The log as callers see it: queued changes count at once, whatever the disk has got to.

use std::collections::VecDeque;

use crate::tail::Tail;
use crate::{Entry, EntryId, Error};

/// Which entries exist, with which terms, and the newest of them in memory.
#[derive(Default)]
pub(crate) struct View {
    purged: Option<EntryId>,
    /// Entries `first..next` exist.
    first: u64,
    next: u64,
    /// From which index on entries have which term, ascending: terms change rarely.
    terms: VecDeque<EntryId>,
    pub tail: Tail,
}

impl View {
    pub fn purged(&self) -> Option<EntryId> {
        self.purged
    }

    /// The first index and the one after the last.
    pub fn range(&self) -> std::ops::Range<u64> {
        self.first..self.next
    }

    pub fn last(&self) -> Option<EntryId> {
        if self.first == self.next {
            return self.purged;
        }
        Some(EntryId {
            term: self.terms.back()?.term,
            index: self.next - 1,
        })
    }

    /// The index an appended entry must have; `None` if any will do.
    pub fn expected(&self) -> Option<u64> {
        if self.first < self.next {
            return Some(self.next);
        }
        self.purged.map(|id| id.index.saturating_add(1))
    }

    /// Adds an entry's identity. It must follow the last entry.
    pub fn put(&mut self, id: EntryId) -> Result<(), Error> {
        let expected = self.expected().unwrap_or(id.index);
        let next = id.index.checked_add(1).filter(|_| id.index == expected);
        let Some(next) = next else {
            return Err(Error::Gap {
                expected,
                got: id.index,
            });
        };
        if self.first == self.next {
            self.first = id.index;
            self.terms.clear();
        }
        self.next = next;
        if self.terms.back().is_none_or(|run| run.term != id.term) {
            self.terms.push_back(id);
        }
        Ok(())
    }

    /// Adds an entry met in replay. The segments before the first one kept may hold entries that
    /// were purged later, so an empty log may begin anywhere beyond the purge point.
    pub fn replay(&mut self, id: EntryId) -> Result<(), Error> {
        if self.first == self.next && self.expected().is_some_and(|least| id.index > least) {
            let purged = self.purged.take();
            let put = self.put(id);
            self.purged = purged;
            return put;
        }
        self.put(id)
    }

    /// Adds entries, which [`View::check`] has accepted, and keeps them in the tail.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), Error> {
        for entry in entries {
            self.put(entry.id)?;
            self.tail.push(entry.clone());
        }
        Ok(())
    }

    /// Whether `entries` could be appended, changing nothing.
    pub fn check(&self, entries: &[Entry]) -> Result<(), Error> {
        let mut expected = self.expected();
        for entry in entries {
            let index = entry.id.index;
            let expect = expected.unwrap_or(index);
            expected = index.checked_add(1).filter(|_| index == expect);
            if expected.is_none() {
                return Err(Error::Gap {
                    expected: expect,
                    got: index,
                });
            }
        }
        Ok(())
    }

    /// Removes entries after `index`, or all. False if there is nothing to remove.
    pub fn truncate_after(&mut self, index: Option<u64>) -> Result<bool, Error> {
        let next = match (index, self.purged) {
            (Some(index), Some(purged)) if index < purged.index => {
                return Err(Error::Purged {
                    index,
                    purged: purged.index,
                });
            }
            (Some(index), _) => index.saturating_add(1).max(self.first),
            (None, _) => self.first,
        };
        if next >= self.next {
            return Ok(false);
        }
        self.next = next;
        while self.terms.back().is_some_and(|run| run.index >= next) {
            self.terms.pop_back();
        }
        self.tail.truncate(next);
        Ok(true)
    }

    /// Removes entries up to `upto`, which may lie beyond the last. False if already purged.
    pub fn purge(&mut self, upto: EntryId) -> bool {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return false;
        }
        self.purged = Some(upto);
        let first = upto.index.saturating_add(1);
        self.tail.purge(first);
        if first >= self.next {
            (self.first, self.next) = (first, first);
            self.terms.clear();
            return true;
        }
        self.first = self.first.max(first);
        while self.terms.get(1).is_some_and(|run| run.index <= self.first) {
            self.terms.pop_front();
        }
        true
    }

    /// The id of a live entry or of the purge point.
    pub fn id_of(&self, index: u64) -> Option<EntryId> {
        if let Some(purged) = self.purged.filter(|purged| purged.index == index) {
            return Some(purged);
        }
        if !self.range().contains(&index) {
            return None;
        }
        let run = self
            .terms
            .partition_point(|run| run.index <= index)
            .checked_sub(1)?;
        Some(EntryId {
            term: self.terms.get(run)?.term,
            index,
        })
    }
}
