//! Requests of this member that wait for their entry.

use std::{collections::HashMap, fmt, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::Reply;

/// Cheap to clone. How many may wait is bounded by whoever registers (the proposer's limit on
/// uncommitted requests).
#[derive(Clone, Default)]
pub struct Waiters(Arc<Mutex<HashMap<u64, oneshot::Sender<Reply>>>>);

impl Waiters {
    /// Must be called before the proposal: the entry may be applied at once. `request` is unique
    /// over this member's restarts.
    pub fn register(&self, request: u64) -> oneshot::Receiver<Reply> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().insert(request, sender);
        receiver
    }

    /// Answers the request, if it still waits.
    pub fn fire(&self, request: u64, reply: Reply) {
        let waiter = self.0.lock().remove(&request);
        if let Some(waiter) = waiter {
            // The one who asked may have gone; the entry is applied all the same.
            drop(waiter.send(reply));
        }
    }

    /// Answers a batch under one lock.
    pub(crate) fn fire_all(&self, replies: Vec<(u64, Reply)>) {
        if replies.is_empty() {
            return;
        }
        let mut waiters = self.0.lock();
        for (request, reply) in replies {
            if let Some(waiter) = waiters.remove(&request) {
                drop(waiter.send(reply));
            }
        }
    }

    /// The request waits no more: it timed out, or was never proposed.
    pub fn forget(&self, request: u64) {
        self.0.lock().remove(&request);
    }

    /// Requests waiting now.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiters")
            .field("waiting", &self.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApplyError, Outcome};

    #[test]
    fn a_reply_reaches_its_request_and_no_other() {
        let waiters = Waiters::default();
        let mut first = waiters.register(1);
        let mut second = waiters.register(2);
        let mut third = waiters.register(3);
        waiters.forget(3);
        waiters.fire_all(vec![(2, Ok(Outcome::Done)), (9, Ok(Outcome::Done))]);
        assert_eq!(second.try_recv(), Ok(Ok(Outcome::Done)));
        assert!(first.try_recv().is_err());
        assert!(third.try_recv().is_err());
        waiters.fire(1, Err(ApplyError::NoSpace));
        assert_eq!(first.try_recv(), Ok(Err(ApplyError::NoSpace)));
        assert!(waiters.is_empty());
    }
}
