//! Guessing of passwords: only so many failures a minute reach the hasher.
//!
//! Failures count for one user at one address, so that nobody is locked out by guesses made
//! elsewhere; and for all strangers together, who are the pairs that have never got in, so that
//! guesses spread over many names find an end too. A pair that has once got in is no stranger.
//!
//! It also says who waits for whom: each pair that has got in has a lane of its own to the hasher,
//! and all strangers share one, so nobody waits for more than one guess of each other lane.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::limits::{THROTTLED_PAIRS, TRUSTED_PAIRS};

const WINDOW: Duration = Duration::from_secs(60);
/// What strangers may fail together, in shares of one pair.
const STRANGERS_SHARE: u32 = 4;
/// Letters by which names are told apart here.
const NAME_LETTERS: usize = 64;

/// A user at an address.
type Pair = (IpAddr, Box<str>);

pub struct Throttle {
    per_minute: u32,
    strangers: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pairs: HashMap<Pair, Bucket>,
    strangers: Bucket,
    trusted: HashMap<Pair, Arc<Semaphore>>,
    /// The trusted in the order they came, for the oldest to make room.
    order: VecDeque<Pair>,
}

/// Fills with failures and drains with time.
#[derive(Clone, Copy, Default)]
struct Bucket {
    /// When it will have drained.
    empty_at: Option<Instant>,
}

impl Bucket {
    /// Takes a share, unless it is full.
    fn take(&mut self, now: Instant, share: Duration) -> bool {
        let level = self.level(now);
        let full = level.saturating_add(share) > WINDOW;
        if !full {
            self.empty_at = Some(now + level + share);
        }
        !full
    }

    fn give_back(&mut self, now: Instant, share: Duration) {
        self.empty_at = Some(now + self.level(now).saturating_sub(share));
    }

    fn level(&self, now: Instant) -> Duration {
        self.empty_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

/// A log-in under way; it counts as failed unless it is said to have succeeded.
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    pair: Pair,
    /// Of a pair that has got in before.
    lane: Option<Arc<Semaphore>>,
}

impl Throttle {
    /// 0 is no limit.
    pub fn new(per_minute: u32) -> Throttle {
        Throttle {
            per_minute,
            strangers: Arc::new(Semaphore::new(1)),
            state: Mutex::default(),
        }
    }

    /// `None` if too many have failed.
    pub fn attempt(&self, user: &str, source: Option<IpAddr>) -> Option<Attempt<'_>> {
        self.attempt_at(Instant::now(), user, source)
    }

    fn attempt_at(&self, now: Instant, user: &str, source: Option<IpAddr>) -> Option<Attempt<'_>> {
        let source = source.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let name: Box<str> = user.chars().take(NAME_LETTERS).collect::<String>().into();
        let pair = (source.to_canonical(), name);
        let mut attempt = Attempt {
            throttle: self,
            pair,
            lane: None,
        };
        let Some(share) = self.share() else {
            return Some(attempt);
        };
        let mut state = self.state.lock();
        attempt.lane = state.trusted.get(&attempt.pair).cloned();
        state.make_room(now);
        if !state
            .pairs
            .entry(attempt.pair.clone())
            .or_default()
            .take(now, share)
        {
            return None;
        }
        if attempt.lane.is_none() && !state.strangers.take(now, share / STRANGERS_SHARE) {
            return None;
        }
        drop(state);
        Some(attempt)
    }

    fn share(&self) -> Option<Duration> {
        WINDOW.checked_div(self.per_minute)
    }
}

impl State {
    fn make_room(&mut self, now: Instant) {
        if self.pairs.len() < THROTTLED_PAIRS {
            return;
        }
        self.pairs.retain(|_, bucket| !bucket.level(now).is_zero());
        if self.pairs.len() >= THROTTLED_PAIRS {
            let least = self
                .pairs
                .iter()
                .min_by_key(|(_, bucket)| bucket.level(now));
            if let Some(pair) = least.map(|(pair, _)| pair.clone()) {
                self.pairs.remove(&pair);
            }
        }
    }

    fn trust(&mut self, pair: Pair) {
        if self.trusted.contains_key(&pair) {
            return;
        }
        let lane = Arc::new(Semaphore::new(1));
        self.trusted.insert(pair.clone(), lane);
        self.order.push_back(pair);
        if self.order.len() > TRUSTED_PAIRS
            && let Some(oldest) = self.order.pop_front()
        {
            self.trusted.remove(&oldest);
        }
    }
}

impl Attempt<'_> {
    /// Has a place for one at a time.
    pub fn lane(&self) -> Arc<Semaphore> {
        let strangers = &self.throttle.strangers;
        self.lane.as_ref().unwrap_or(strangers).clone()
    }

    pub fn succeeded(self) {
        self.succeeded_at(Instant::now());
    }

    fn succeeded_at(self, now: Instant) {
        let Some(share) = self.throttle.share() else {
            return;
        };
        let mut state = self.throttle.state.lock();
        if let Some(bucket) = state.pairs.get_mut(&self.pair) {
            bucket.give_back(now, share);
        }
        if self.lane.is_none() {
            state.strangers.give_back(now, share / STRANGERS_SHARE);
        }
        state.trust(self.pair);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    fn failures(
        (throttle, now): (&Throttle, Instant),
        user: &str,
        source: Option<IpAddr>,
        tries: u32,
    ) -> u32 {
        let let_in = (0..tries).filter(|_| throttle.attempt_at(now, user, source).is_some());
        let_in.count() as u32
    }

    fn success((throttle, now): (&Throttle, Instant), user: &str, source: Option<IpAddr>) {
        let attempt = throttle.attempt_at(now, user, source);
        attempt.expect("let in").succeeded_at(now);
    }

    #[test]
    fn failures_of_one_pair_are_limited_and_come_back() {
        let (throttle, now) = (Throttle::new(6), Instant::now());
        let at = (&throttle, now);
        assert_eq!(failures(at, "a", address(1), 1000), 6);
        assert_eq!(failures(at, "a", address(2), 1), 1, "another address");
        assert_eq!(failures(at, "b", address(1), 1), 1, "another user");
        let later = (&throttle, now + Duration::from_secs(21));
        assert_eq!(failures(later, "a", address(1), 1000), 2);
    }

    #[test]
    fn who_gets_in_is_not_limited() {
        let (throttle, unlimited) = (Throttle::new(6), Throttle::new(0));
        let now = Instant::now();
        let at = (&throttle, now);
        (0..1000).for_each(|_| success(at, "a", address(1)));
        assert_eq!(failures(at, "a", address(1), 1000), 6);
        assert_eq!(failures((&unlimited, now), "a", None, 1000), 1000);
    }

    #[test]
    fn guesses_spread_over_names_find_an_end_that_is_not_everybodys() {
        let throttle = Throttle::new(6);
        let at = (&throttle, Instant::now());
        success(at, "friend", address(9));
        let strangers: u32 = (0..1000)
            .map(|number| failures(at, &number.to_string(), address(1), 1))
            .sum();
        assert_eq!(strangers, 6 * STRANGERS_SHARE);
        assert_eq!(failures(at, "friend", address(9), 1), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let throttle = Throttle::new(1_000_000);
        let at = (&throttle, Instant::now());
        for number in 0..THROTTLED_PAIRS + 9 {
            failures(at, &number.to_string(), address(1), 1);
        }
        assert!(throttle.state.lock().pairs.len() <= THROTTLED_PAIRS);
        for number in 0..TRUSTED_PAIRS + 9 {
            success(at, &number.to_string(), address(2));
        }
        let state = throttle.state.lock();
        assert_eq!(
            (state.trusted.len(), state.order.len()),
            (TRUSTED_PAIRS, TRUSTED_PAIRS)
        );
    }
}
