//! How often members asked here were promoted, and why they were not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::error::Error;

/// Counted rarely, so a lock costs nobody anything; the reasons are those of [`Error`].
#[derive(Default)]
pub struct Promotions {
    succeeded: AtomicU64,
    failed: Mutex<BTreeMap<&'static str, u64>>,
}

impl Promotions {
    pub fn count(&self, error: Option<Error>) {
        match error {
            None => {
                self.succeeded.fetch_add(1, Relaxed);
            }
            Some(error) => *self.failed.lock().entry(error.text()).or_default() += 1,
        }
    }

    pub fn succeeded(&self) -> u64 {
        self.succeeded.load(Relaxed)
    }

    /// By reason.
    pub fn failed(&self) -> Vec<(&'static str, u64)> {
        let failed = self.failed.lock();
        failed
            .iter()
            .map(|(reason, count)| (*reason, *count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_reason() {
        let promotions = Promotions::default();
        for error in [
            None,
            Some(Error::LearnerNotReady),
            Some(Error::LearnerNotReady),
        ] {
            promotions.count(error);
        }
        assert_eq!(promotions.succeeded(), 1);
        assert_eq!(promotions.failed(), [(Error::LearnerNotReady.text(), 2)]);
    }
}
