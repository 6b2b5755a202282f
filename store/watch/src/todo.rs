//! What a stream has yet to look at for its live watches.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    event::Revision,
    history::{WINDOW_BYTES_MAX, WINDOW_REVISIONS},
    mailbox::{NOTES_MAX, Notes},
    ring::Ring,
};

/// Notes fetched from the mailbox. Only revisions up to `seen` are looked at: beyond it a
/// publication may be under way.
#[derive(Debug, Default)]
pub(crate) struct Todo {
    matched: VecDeque<i64>,
    /// From here up to `seen` every revision may match; behind all of `matched`.
    all_from: Option<i64>,
    /// Every match up to and with this revision has been fetched.
    pub seen: i64,
}

impl Todo {
    pub(crate) fn new(seen: i64) -> Todo {
        Todo {
            seen,
            ..Todo::default()
        }
    }

    /// Whether there is room for the notes of the mailbox, or nothing to do without them.
    pub(crate) fn wants_notes(&self) -> bool {
        self.first().is_none() || (self.all_from.is_none() && self.matched.len() < NOTES_MAX)
    }

    /// `seen` had been published when the notes were taken, so they hold every match up to it.
    pub(crate) fn add(&mut self, notes: Notes, seen: i64) {
        self.matched.extend(notes.matched);
        // Taken while nothing was being published, so what lies behind `seen` will be noted.
        self.all_from = notes.all_from.filter(|from| *from <= seen);
        self.seen = seen;
    }

    /// The first revision to look at.
    pub(crate) fn first(&self) -> Option<i64> {
        let first = self.matched.front().copied().or(self.all_from);
        first.filter(|first| *first <= self.seen)
    }

    /// The next revisions to look at, out of the ring.
    pub(crate) fn revisions(&self, ring: &Ring) -> Vec<Arc<Revision>> {
        if self.matched.is_empty() {
            let Some(from) = self.all_from else {
                return Vec::new();
            };
            let to = self.seen.min(from.saturating_add(WINDOW_REVISIONS - 1));
            return ring.slice(from, to, WINDOW_BYTES_MAX);
        }
        let mut bytes = 0;
        let mut revisions = Vec::new();
        for main in self.matched.iter().take_while(|main| **main <= self.seen) {
            let Some(revision) = ring.get(*main) else {
                break;
            };
            if bytes > WINDOW_BYTES_MAX {
                break;
            }
            bytes += revision.bytes;
            revisions.push(revision.clone());
        }
        revisions
    }

    /// Everything up to `main` has been looked at.
    pub(crate) fn done(&mut self, main: i64) {
        while self.matched.front().is_some_and(|first| *first <= main) {
            self.matched.pop_front();
        }
        if let Some(from) = self.all_from {
            let from = from.max(main.saturating_add(1));
            self.all_from = (from <= self.seen).then_some(from);
        }
    }

    /// Nothing up to `seen` needs to be looked at.
    pub(crate) fn skip(&mut self) {
        self.done(self.seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_revisions_come_first_and_what_is_not_seen_yet_waits() {
        let mut todo = Todo::new(10);
        let notes = |matched: &[i64], all_from| {
            let mut notes = Notes::default();
            notes.matched.extend_from_slice(matched);
            notes.all_from = all_from;
            notes
        };
        todo.add(notes(&[11, 13, 15], None), 14);
        assert_eq!(todo.first(), Some(11));
        todo.done(13);
        assert_eq!(todo.first(), None, "15 is not published yet");
        todo.add(notes(&[], Some(17)), 20);
        assert_eq!(todo.first(), Some(15));
        todo.done(15);
        assert_eq!(todo.first(), Some(17));
        todo.done(18);
        assert_eq!(todo.first(), Some(19));
        todo.skip();
        assert_eq!(todo.first(), None);
        assert!(todo.wants_notes());
        todo.add(notes(&[], Some(21)), 20);
        assert!(
            todo.first().is_none() && todo.wants_notes(),
            "nothing to look at yet"
        );
        let many: Vec<i64> = (21..21 + NOTES_MAX as i64).collect();
        todo.add(notes(&many, None), 20);
        assert!(
            todo.wants_notes(),
            "or it would never learn of their publication"
        );
        todo.add(notes(&[], None), 21);
        assert!(!todo.wants_notes());
    }
}
