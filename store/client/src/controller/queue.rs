//! Names that wait to be reconciled: each once, none while it is being reconciled, those that failed
//! later and later, and not too many at a time.
//!
//! The queue reads no clock: whoever uses it says what time it is, so that its rules can be tested
//! without waiting.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::Action;
use crate::backoff::step;

/// How a queue slows down.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// After the first failure of a name; twice as long after each other, up to `most_back_off`.
    pub first_back_off: Duration,
    pub most_back_off: Duration,
    /// How many reconciles may begin in a second over time, and how many at once after a pause. 0 is
    /// no limit.
    pub per_second: u32,
    pub burst: u32,
}

impl Default for Limits {
    /// The back-off of controller-runtime's default queue, with a bound of five minutes, and no limit
    /// of the rate.
    fn default() -> Limits {
        Limits {
            first_back_off: Duration::from_millis(5),
            most_back_off: Duration::from_secs(300),
            per_second: 0,
            burst: 0,
        }
    }
}

/// What a queue has to say when it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Begin with this one, and tell [`Queue::done`] afterwards.
    Begin(String),
    /// Nothing is due before then.
    Wait(Instant),
    /// Nothing waits at all.
    Idle,
}

/// The names; a queue by itself, for loops that [`Controller`](super::Controller) does not fit.
///
/// ```
/// use std::time::{Duration, Instant};
/// use mainstay_client::controller::{Action, Limits, Next, Queue};
///
/// let (mut queue, now) = (Queue::new(Limits::default()), Instant::now());
/// queue.add("blue", now);
/// queue.add("blue", now);
/// assert_eq!(queue.next(now), Next::Begin("blue".to_owned()));
/// // Something happens to it meanwhile: it waits until the first reconcile is done.
/// queue.add("blue", now);
/// assert_eq!(queue.next(now), Next::Idle);
/// queue.done("blue", Action::AwaitChange, now);
/// assert_eq!(queue.next(now), Next::Begin("blue".to_owned()));
/// ```
#[derive(Debug)]
pub struct Queue {
    limits: Limits,
    /// When each name that waits is due; and the same the other way round, names that are due at one
    /// time in the order in which they came.
    due: HashMap<String, (Instant, u64)>,
    order: BTreeSet<(Instant, u64, String)>,
    /// Being reconciled; with when to do it again, if something has happened meanwhile.
    running: BTreeMap<String, Option<Instant>>,
    failures: HashMap<String, u32>,
    came: u64,
    tokens: f64,
    filled: Option<Instant>,
}

impl Queue {
    pub fn new(limits: Limits) -> Queue {
        Queue {
            limits,
            due: HashMap::new(),
            order: BTreeSet::new(),
            running: BTreeMap::new(),
            failures: HashMap::new(),
            came: 0,
            tokens: f64::from(limits.burst.max(1)),
            filled: None,
        }
    }

    /// Something has happened to it: it is due at `at`, or before if it was due before.
    pub fn add(&mut self, name: &str, at: Instant) {
        if let Some(again) = self.running.get_mut(name) {
            *again = Some(again.map_or(at, |known| known.min(at)));
            return;
        }
        if let Some((known, came)) = self.due.get(name) {
            if *known <= at {
                return;
            }
            self.order.remove(&(*known, *came, name.to_owned()));
        }
        self.came += 1;
        self.due.insert(name.to_owned(), (at, self.came));
        self.order.insert((at, self.came, name.to_owned()));
    }

    /// The next to begin with, and if there is none, when to ask again.
    pub fn next(&mut self, now: Instant) -> Next {
        let Some((due, _, _)) = self.order.first() else {
            return Next::Idle;
        };
        if *due > now {
            return Next::Wait(*due);
        }
        if let Some(until) = self.refill(now) {
            return Next::Wait(until);
        }
        let Some((_, _, name)) = self.order.pop_first() else {
            return Next::Idle;
        };
        self.due.remove(&name);
        self.running.insert(name.clone(), None);
        Next::Begin(name)
    }

    /// Takes a token; if there is none, when there will be.
    fn refill(&mut self, now: Instant) -> Option<Instant> {
        if self.limits.per_second == 0 {
            return None;
        }
        let rate = f64::from(self.limits.per_second);
        if let Some(filled) = self.filled {
            let came = now.saturating_duration_since(filled).as_secs_f64() * rate;
            let most = f64::from(self.limits.burst.max(1));
            self.tokens = (self.tokens + came).min(most);
        }
        self.filled = Some(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return None;
        }
        let wait = Duration::from_secs_f64((1.0 - self.tokens) / rate);
        Some(now + wait.max(Duration::from_micros(1)))
    }

    /// It has been reconciled. What happened to it meanwhile, and what `action` wants, is due when it
    /// is due; the earlier counts.
    pub fn done(&mut self, name: &str, action: Action, now: Instant) {
        let again = self.running.remove(name).flatten();
        let wanted = match action {
            Action::AwaitChange => {
                self.failures.remove(name);
                None
            }
            Action::RequeueAfter(wait) => {
                self.failures.remove(name);
                Some(now + wait)
            }
            Action::BackOff => Some(now + self.back_off(name)),
        };
        for at in [again, wanted].into_iter().flatten() {
            self.add(name, at);
        }
    }

    fn back_off(&mut self, name: &str) -> Duration {
        let failures = self.failures.entry(name.to_owned()).or_insert(0);
        let wait = step(
            self.limits.first_back_off,
            self.limits.most_back_off,
            *failures,
        );
        *failures = failures.saturating_add(1);
        wait
    }

    /// How many wait, those included that are not due.
    pub fn waiting(&self) -> usize {
        self.due.len()
    }

    pub fn running(&self) -> usize {
        self.running.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queue() -> (Queue, Instant) {
        (Queue::new(Limits::default()), Instant::now())
    }

    fn begin(queue: &mut Queue, now: Instant) -> String {
        match queue.next(now) {
            Next::Begin(name) => name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_waits_once_however_often_it_comes() {
        let (mut queue, now) = queue();
        for name in ["a", "b", "a", "a"] {
            queue.add(name, now);
        }
        assert_eq!(queue.waiting(), 2);
        assert_eq!(begin(&mut queue, now), "a");
        assert_eq!(begin(&mut queue, now), "b");
        assert_eq!(queue.next(now), Next::Idle);
    }

    #[test]
    fn what_happens_during_a_reconcile_is_looked_at_after_it() {
        let (mut queue, now) = queue();
        queue.add("a", now);
        assert_eq!(begin(&mut queue, now), "a");
        queue.add("a", now);
        assert_eq!(queue.next(now), Next::Idle, "never the same twice at once");
        queue.done("a", Action::RequeueAfter(Duration::from_secs(60)), now);
        assert_eq!(begin(&mut queue, now), "a");
        queue.done("a", Action::AwaitChange, now);
        assert_eq!(queue.next(now), Next::Idle);
    }

    #[test]
    fn a_name_that_fails_comes_back_later_each_time() {
        let (mut queue, now) = queue();
        queue.add("a", now);
        let mut at = now;
        let mut waits = Vec::new();
        for _ in 0..4 {
            assert_eq!(begin(&mut queue, at), "a");
            queue.done("a", Action::BackOff, at);
            let Next::Wait(due) = queue.next(at) else {
                panic!("it must wait");
            };
            waits.push((due - at).as_millis());
            at = due;
        }
        assert_eq!(waits, [5, 10, 20, 40]);
        assert_eq!(begin(&mut queue, at), "a");
        queue.done("a", Action::AwaitChange, at);
        queue.add("a", at);
        assert_eq!(begin(&mut queue, at), "a");
        queue.done("a", Action::BackOff, at);
        assert_eq!(queue.next(at), Next::Wait(at + Duration::from_millis(5)));
    }

    #[test]
    fn a_change_does_not_wait_for_the_back_off() {
        let (mut queue, now) = queue();
        queue.add("a", now);
        begin(&mut queue, now);
        queue.done("a", Action::RequeueAfter(Duration::from_secs(9)), now);
        queue.add("a", now);
        assert_eq!(begin(&mut queue, now), "a");
    }

    #[test]
    fn no_more_begin_than_the_rate_allows() {
        let limits = Limits {
            per_second: 10,
            burst: 2,
            ..Limits::default()
        };
        let (mut queue, now) = (Queue::new(limits), Instant::now());
        for name in ["a", "b", "c"] {
            queue.add(name, now);
        }
        begin(&mut queue, now);
        begin(&mut queue, now);
        let Next::Wait(until) = queue.next(now) else {
            panic!("the third must wait");
        };
        assert_eq!((until - now).as_millis(), 100);
        assert_eq!(begin(&mut queue, until), "c");
    }

    proptest! {
        /// Whatever comes and ends in whatever order: none runs twice at once, none waits twice, and
        /// whatever has happened to a name is followed by a reconcile that begins after it.
        #[test]
        fn nothing_is_lost_and_nothing_doubled(steps in prop::collection::vec((0..3_u8, 0..4_u8), 1..200)) {
            let (mut queue, now) = queue();
            let (mut owed, mut running) = (BTreeSet::new(), BTreeSet::new());
            for (what, which) in steps {
                let name = format!("n{which}");
                match what {
                    0 => {
                        queue.add(&name, now);
                        owed.insert(name);
                    }
                    1 => if let Next::Begin(name) = queue.next(now) {
                        prop_assert!(running.insert(name.clone()), "{} runs twice", name);
                        prop_assert!(owed.remove(&name), "{} was not asked for", name);
                    },
                    _ => if running.remove(&name) {
                        queue.done(&name, Action::AwaitChange, now);
                    },
                }
            }
            for name in running {
                queue.done(&name, Action::AwaitChange, now);
            }
            while let Next::Begin(name) = queue.next(now) {
                prop_assert!(owed.remove(&name));
                queue.done(&name, Action::AwaitChange, now);
            }
            prop_assert!(owed.is_empty(), "lost: {owed:?}");
        }
    }
}
