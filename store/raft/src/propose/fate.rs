//! What has become of a request that has no answer yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::ProposeError;

/// Anything above `LOST` is the term it was handed over in, plus `TERM_BASE`.
const QUEUED: u64 = 0;
const SENDING: u64 = 1;
const LOST: u64 = 2;
const TERM_BASE: u64 = 3;

/// Shared by who waits for a request and who hands it over.
#[derive(Clone, Default)]
pub(super) struct Fate(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: AtomicU64,
    /// Nobody waits any more. A flag of its own: a request may be withdrawn while it is being sent,
    /// and if it then comes back to the queue it must not leave it again, hours later perhaps, when
    /// there is a leader.
    withdrawn: AtomicBool,
}

impl Fate {
    /// Takes it out of the queue; false if nobody wants it handed over any more.
    pub fn claim(&self) -> bool {
        self.0.state.store(SENDING, Ordering::Release);
        !self.0.withdrawn.load(Ordering::Acquire)
    }

    /// It has certainly not been appended anywhere; false if nobody wants it to be any more.
    pub fn give_back(&self) -> bool {
        self.0.state.store(QUEUED, Ordering::Release);
        !self.0.withdrawn.load(Ordering::Acquire)
    }

    pub fn handed_over(&self, term: u64) {
        let state = term.saturating_add(TERM_BASE);
        self.0.state.store(state, Ordering::Release);
    }

    pub fn lost(&self) {
        self.0.state.store(LOST, Ordering::Release);
    }

    pub fn withdraw(&self) {
        self.0.withdrawn.store(true, Ordering::Release);
    }

    /// What its waiter must be told, if anything.
    pub fn verdict(&self, applied_term: u64, late: bool) -> Option<ProposeError> {
        match self.0.state.load(Ordering::Acquire) {
            QUEUED => late.then_some(ProposeError::NoLeader),
            LOST => Some(ProposeError::TimeoutLeaderFail),
            // Entries of one term stand before those of the next: once a later term is being
            // applied, a command of this one has either been applied already or never will be.
            term if term >= TERM_BASE && applied_term > term - TERM_BASE => {
                Some(ProposeError::TimeoutLeaderFail)
            }
            _ => late.then_some(ProposeError::Timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_in_the_queue_fails_only_at_its_deadline() {
        let fate = Fate::default();
        assert!(fate.verdict(9, false).is_none());
        assert!(matches!(
            fate.verdict(9, true),
            Some(ProposeError::NoLeader)
        ));
    }

    #[test]
    fn a_request_handed_over_fails_once_a_later_term_is_applied() {
        let fate = Fate::default();
        assert!(fate.claim());
        fate.handed_over(7);
        assert!(fate.verdict(6, false).is_none());
        assert!(fate.verdict(7, false).is_none());
        let over = fate.verdict(8, false);
        assert!(matches!(over, Some(ProposeError::TimeoutLeaderFail)));
        assert!(matches!(fate.verdict(7, true), Some(ProposeError::Timeout)));
    }

    #[test]
    fn a_request_on_its_way_has_no_term_to_judge_by() {
        let fate = Fate::default();
        assert!(fate.claim());
        assert!(fate.verdict(u64::MAX, false).is_none());
        let late = fate.verdict(u64::MAX, true);
        assert!(matches!(late, Some(ProposeError::Timeout)));
        fate.lost();
        let lost = fate.verdict(0, false);
        assert!(matches!(lost, Some(ProposeError::TimeoutLeaderFail)));
    }

    #[test]
    fn what_was_withdrawn_on_its_way_does_not_come_back() {
        let fate = Fate::default();
        assert!(fate.claim());
        fate.withdraw();
        assert!(!fate.give_back());
        assert!(!fate.claim());
    }
}
