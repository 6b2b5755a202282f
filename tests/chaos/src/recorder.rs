//! Where every task writes down what it saw, on one clock.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use mainstay_model::{Fault, History, Operation, Watcher};

/// The history of a run while it grows.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    history: Mutex<History>,
    /// The highest revision that any client has seen.
    revision: AtomicI64,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder {
            start: Instant::now(),
            history: Mutex::new(History::default()),
            revision: AtomicI64::new(1),
        }
    }
}

impl Recorder {
    /// Monotonic nanoseconds since the start of the run.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The highest revision that any client has seen: a hint for where to read or watch.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision.load(Ordering::Relaxed)
    }

    pub fn operation(&self, operation: Operation) {
        if let Some(response) = operation.response() {
            self.revision
                .fetch_max(response.revision, Ordering::Relaxed);
        }
        self.lock().operations.push(operation);
    }

    pub fn watcher(&self, watcher: Watcher) {
        if !watcher.replies.is_empty() {
            self.lock().watchers.push(watcher);
        }
    }

    /// Notes a fault that began at `start` and is over now.
    pub fn fault(&self, kind: &str, start: u64) {
        let fault = Fault {
            kind: kind.to_owned(),
            start,
            end: self.now(),
        };
        self.lock().faults.push(fault);
    }

    /// Whatever has been recorded so far, leaving nothing behind.
    #[must_use]
    pub fn take(&self) -> History {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        // A task that panicked while it pushed cannot have left half a record.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
