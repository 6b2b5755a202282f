//! What a publication leaves for a stream: numbers of revisions, never events.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Revisions noted one by one for a stream that does not come to fetch them (8 bytes each). Beyond
/// that it is only noted from where on the stream has to look for itself.
pub(crate) const NOTES_MAX: usize = 1024;

/// One for each stream, shared with the hub.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub stream: u64,
    notes: Mutex<Notes>,
    /// The latest revision noted; written by the publisher only. Saves it the lock for the many
    /// events of one revision.
    latest: AtomicI64,
    pub wake: Notify,
    closed: AtomicBool,
}

/// Revisions with an event that some watch of the stream matches.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// In ascending order.
    pub matched: Vec<i64>,
    /// From this revision on nothing is noted: every one may match.
    pub all_from: Option<i64>,
    /// The stream has been woken since it last fetched.
    woken: bool,
}

impl Mailbox {
    pub(crate) fn new(stream: u64) -> Mailbox {
        Mailbox {
            stream,
            notes: Mutex::default(),
            latest: AtomicI64::new(0),
            wake: Notify::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Notes a revision; revisions come in ascending order. True if the stream has to be woken.
    pub(crate) fn note(&self, revision: i64) -> bool {
        if self.latest.load(Ordering::Relaxed) == revision {
            return false;
        }
        self.latest.store(revision, Ordering::Relaxed);
        let mut notes = self.notes.lock();
        if notes.all_from.is_none() {
            if notes.matched.len() < NOTES_MAX {
                notes.matched.push(revision);
            } else {
                notes.all_from = Some(revision);
            }
        }
        !std::mem::replace(&mut notes.woken, true)
    }

    /// From `revision` on the stream has to look for itself: the ring has begun anew.
    pub(crate) fn note_all_from(&self, revision: i64) {
        let mut notes = self.notes.lock();
        notes.all_from.get_or_insert(revision);
        notes.woken = true;
    }

    /// Takes the notes, unless there is an `all_from` among them: that must be taken with the
    /// hub's registry locked, or revisions being noted just now would be lost.
    pub(crate) fn take_listed(&self) -> Option<Notes> {
        let mut notes = self.notes.lock();
        notes
            .all_from
            .is_none()
            .then(|| std::mem::take(&mut *notes))
    }

    pub(crate) fn take(&self) -> Notes {
        std::mem::take(&mut *self.notes.lock())
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// Wakes streams after a publication, outside its locks.
pub(crate) fn wake_all(mailboxes: Vec<Arc<Mailbox>>) {
    for mailbox in mailboxes {
        mailbox.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_bounded_and_wake_once() {
        let mailbox = Mailbox::new(1);
        assert!(mailbox.note(5));
        assert!(!mailbox.note(5), "one revision is one note");
        for revision in 6..5 + NOTES_MAX as i64 + 10 {
            assert!(!mailbox.note(revision));
        }
        assert!(mailbox.take_listed().is_none());
        let notes = mailbox.take();
        assert_eq!(notes.matched.len(), NOTES_MAX);
        assert_eq!(notes.all_from, Some(5 + NOTES_MAX as i64));
        assert!(mailbox.note(9999));
        assert_eq!(
            mailbox.take_listed().map(|notes| notes.matched),
            Some(vec![9999])
        );
    }
}
