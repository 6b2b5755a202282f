//! When leases run out: deadlines on a monotonic clock, kept by every member, meant only by the
//! one that leads.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

/// An id handed out by [`Clock::expired`] is handed out again after this long if its revoke has
/// not been applied by then (etcd waits as long).
const RETRY: Duration = Duration::from_secs(3);

/// Time since any fixed moment, never going back.
pub type Now = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Deadlines of all leases. Cheap calls behind one lock.
pub struct Clock {
    now: Now,
    /// Given on top of the TTL when this member becomes leader: the time in which nobody could
    /// have renewed.
    grace: Duration,
    state: Mutex<State>,
}

/// What became of a keep-alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The lease has its full TTL again, in seconds.
    Renewed(i64),
    /// It ran out and its revoke is under way: wait until it does not exist, then answer TTL 0.
    Expired,
    Unknown,
    /// Only the leader renews.
    NotLeader,
}

#[derive(Default)]
struct State {
    leading: bool,
    leases: HashMap<i64, Timed>,
    /// When to look at which lease; the time is a deadline, or the next try of its revoke.
    due: BTreeSet<(Duration, i64)>,
}

struct Timed {
    granted: i64,
    deadline: Duration,
    due: Duration,
}

impl Clock {
    pub fn new(now: Now, grace: Duration) -> Clock {
        Clock {
            now,
            grace,
            state: Mutex::default(),
        }
    }

    /// This member leads from now on: every lease gets its full TTL and the grace.
    pub fn promote(&self) {
        let now = (self.now)();
        let mut state = self.state.lock();
        state.leading = true;
        state.restart(now, self.grace);
    }

    /// This member leads no more and takes no lease away.
    pub fn demote(&self) {
        self.state.lock().leading = false;
    }

    pub fn is_leading(&self) -> bool {
        self.state.lock().leading
    }

    /// Gives the lease its full TTL again, unless it has run out.
    pub fn renew(&self, id: i64) -> Renewal {
        let now = (self.now)();
        let mut state = self.state.lock();
        if !state.leading {
            return Renewal::NotLeader;
        }
        match state.leases.get(&id) {
            None => Renewal::Unknown,
            Some(lease) if lease.deadline <= now => Renewal::Expired,
            Some(lease) => {
                let granted = lease.granted;
                state.set(id, granted, now + seconds(granted));
                Renewal::Renewed(granted)
            }
        }
    }

    /// Seconds left, rounded down, and seconds granted. `None` when the lease is unknown or this
    /// member does not lead.
    pub fn times(&self, id: i64) -> Option<(i64, i64)> {
        let now = (self.now)();
        let state = self.state.lock();
        let lease = state.leases.get(&id).filter(|_| state.leading)?;
        let left = lease.deadline.saturating_sub(now).as_secs();
        Some((i64::try_from(left).unwrap_or(i64::MAX), lease.granted))
    }

    pub fn remaining(&self, id: i64) -> Option<i64> {
        self.times(id).map(|(left, _)| left)
    }

    /// Every lease, the one that runs out first in front.
    pub fn ids_by_remaining(&self) -> Vec<i64> {
        let state = self.state.lock();
        let mut ids: Vec<_> = state
            .leases
            .iter()
            .map(|(id, l)| (l.deadline, *id))
            .collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// At most `max` leases that have run out, for which the leader now proposes a revoke.
    pub fn expired(&self, max: usize) -> Vec<i64> {
        let now = (self.now)();
        let mut state = self.state.lock();
        if !state.leading {
            return Vec::new();
        }
        let ids: Vec<i64> = state
            .due
            .iter()
            .take_while(|(due, _)| *due <= now)
            .take(max)
            .map(|d| d.1)
            .collect();
        for id in &ids {
            state.postpone(*id, now + RETRY);
        }
        ids
    }

    /// When [`Clock::expired`] has something to hand out next, if this member leads.
    pub fn next_deadline(&self) -> Option<Duration> {
        let state = self.state.lock();
        state
            .due
            .first()
            .filter(|_| state.leading)
            .map(|(due, _)| *due)
    }

    /// Apply has granted the lease.
    pub fn granted(&self, id: i64, granted: i64) {
        let deadline = (self.now)() + seconds(granted);
        self.state.lock().set(id, granted, deadline);
    }

    /// Apply has taken the lease away.
    pub fn revoked(&self, id: i64) {
        self.state.lock().remove(id);
    }

    /// A store has been opened: these are all leases, with the seconds granted.
    pub fn load(&self, leases: impl Iterator<Item = (i64, i64)>) {
        let now = (self.now)();
        let mut state = self.state.lock();
        state.leases.clear();
        state.due.clear();
        for (id, granted) in leases {
            state.set(id, granted, now + seconds(granted) + self.grace);
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        let (leases, leading) = (state.leases.len(), state.leading);
        f.debug_struct("Clock")
            .field("leases", &leases)
            .field("leading", &leading)
            .finish()
    }
}

impl State {
    fn set(&mut self, id: i64, granted: i64, deadline: Duration) {
        let timed = Timed {
            granted,
            deadline,
            due: deadline,
        };
        if let Some(old) = self.leases.insert(id, timed) {
            self.due.remove(&(old.due, id));
        }
        self.due.insert((deadline, id));
    }

    fn postpone(&mut self, id: i64, due: Duration) {
        if let Some(lease) = self.leases.get_mut(&id) {
            self.due.remove(&(lease.due, id));
            lease.due = due;
            self.due.insert((due, id));
        }
    }

    fn remove(&mut self, id: i64) {
        if let Some(lease) = self.leases.remove(&id) {
            self.due.remove(&(lease.due, id));
        }
    }

    fn restart(&mut self, now: Duration, grace: Duration) {
        self.due.clear();
        for (id, lease) in &mut self.leases {
            lease.deadline = now + seconds(lease.granted) + grace;
            lease.due = lease.deadline;
            self.due.insert((lease.due, *id));
        }
    }
}

/// Grants are between 1 and [`crate::TTL_MAX_SECONDS`]; anything else counts as expired at once.
fn seconds(granted: i64) -> Duration {
    Duration::from_secs(u64::try_from(granted).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const GRACE: Duration = Duration::from_secs(1);

    /// A clock whose time the test sets, in milliseconds.
    fn clock() -> (Clock, Arc<AtomicU64>) {
        let time = Arc::new(AtomicU64::new(50_000));
        let read = time.clone();
        let now = Arc::new(move || Duration::from_millis(read.load(Ordering::Relaxed)));
        (Clock::new(now, GRACE), time)
    }

    #[test]
    fn only_a_leader_renews_and_expires() {
        let (clock, time) = clock();
        clock.granted(7, 2);
        time.fetch_add(60_000, Ordering::Relaxed);
        assert_eq!(clock.renew(7), Renewal::NotLeader);
        assert_eq!(clock.expired(10), vec![]);
        assert_eq!((clock.times(7), clock.next_deadline()), (None, None));

        clock.promote();
        assert_eq!(clock.times(7), Some((3, 2)), "full ttl and the grace");
        time.fetch_add(2_999, Ordering::Relaxed);
        assert_eq!(clock.expired(10), vec![]);
        time.fetch_add(1, Ordering::Relaxed);
        assert_eq!(clock.expired(10), vec![7]);
        clock.demote();
        time.fetch_add(60_000, Ordering::Relaxed);
        assert_eq!(clock.expired(10), vec![]);
    }

    #[test]
    fn an_expired_lease_is_not_renewed_and_is_handed_out_again_later() {
        let (clock, time) = clock();
        clock.promote();
        clock.granted(1, 5);
        time.fetch_add(4_999, Ordering::Relaxed);
        assert_eq!(clock.renew(1), Renewal::Renewed(5));
        time.fetch_add(5_000, Ordering::Relaxed);
        assert_eq!(clock.renew(1), Renewal::Expired);
        assert_eq!(clock.expired(10), vec![1]);
        assert_eq!(clock.expired(10), vec![], "its revoke is under way");
        time.fetch_add(3_000, Ordering::Relaxed);
        assert_eq!(clock.expired(10), vec![1]);
        clock.revoked(1);
        assert_eq!(clock.renew(1), Renewal::Unknown);
        time.fetch_add(10_000, Ordering::Relaxed);
        assert_eq!(clock.expired(10), vec![]);
    }

    #[test]
    fn the_first_to_run_out_comes_first_and_no_more_than_asked() {
        let (clock, time) = clock();
        clock.promote();
        for (id, ttl) in [(1, 30), (2, 10), (3, 20)] {
            clock.granted(id, ttl);
        }
        assert_eq!(clock.ids_by_remaining(), vec![2, 3, 1]);
        time.fetch_add(30_000, Ordering::Relaxed);
        assert_eq!(clock.expired(2), vec![2, 3]);
        assert_eq!(clock.expired(2), vec![1]);
    }
}
