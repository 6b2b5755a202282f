//! Guessing of passwords: only so many failures a minute reach the hasher.
//!
//! Failures count for one user at one address, so that nobody is locked out by guesses made
//! elsewhere; and for all strangers together, who are the pairs that have never got in, so that
//! guesses spread over many names find an end too. A pair that has once got in is no stranger.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::{THROTTLED_PAIRS, TRUSTED_PAIRS};

const WINDOW: Duration = Duration::from_secs(60);
/// What strangers may fail together, in shares of one pair.
const STRANGERS_SHARE: u32 = 4;
/// Longer names are told apart by their beginning only.
const NAME_BYTES: usize = 128;

/// A user at an address.
type Pair = (IpAddr, Box<str>);

pub struct Throttle {
    per_minute: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pairs: HashMap<Pair, Bucket>,
    strangers: Bucket,
    trusted: HashSet<Pair>,
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
    stranger: bool,
}

impl Throttle {
    /// 0 is no limit.
    pub fn new(per_minute: u32) -> Throttle {
        Throttle {
            per_minute,
            state: Mutex::default(),
        }
    }

    /// `None` if too many have failed.
    pub fn attempt(&self, user: &str, source: Option<IpAddr>) -> Option<Attempt<'_>> {
        let source = source.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let name = user.get(..NAME_BYTES).unwrap_or(user);
        let name: Box<str> = name.chars().take(NAME_BYTES).collect::<String>().into();
        let pair = (source.to_canonical(), name);
        let mut attempt = Attempt {
            throttle: self,
            pair,
            stranger: false,
        };
        let Some(share) = self.share() else {
            return Some(attempt);
        };
        let now = Instant::now();
        let mut state = self.state.lock();
        attempt.stranger = !state.trusted.contains(&attempt.pair);
        state.make_room(now);
        if !state
            .pairs
            .entry(attempt.pair.clone())
            .or_default()
            .take(now, share)
        {
            return None;
        }
        if attempt.stranger && !state.strangers.take(now, share / STRANGERS_SHARE) {
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
        if !self.trusted.insert(pair.clone()) {
            return;
        }
        self.order.push_back(pair);
        if self.order.len() > TRUSTED_PAIRS
            && let Some(oldest) = self.order.pop_front()
        {
            self.trusted.remove(&oldest);
        }
    }
}

impl Attempt<'_> {
    pub fn succeeded(self) {
        let Some(share) = self.throttle.share() else {
            return;
        };
        let now = Instant::now();
        let mut state = self.throttle.state.lock();
        if let Some(bucket) = state.pairs.get_mut(&self.pair) {
            bucket.give_back(now, share);
        }
        if self.stranger {
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

    fn failures(throttle: &Throttle, user: &str, source: Option<IpAddr>, tries: u32) -> u32 {
        let let_in = (0..tries).filter(|_| throttle.attempt(user, source).is_some());
        let_in.count() as u32
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_one_pair_are_limited_and_come_back() {
        let throttle = Throttle::new(6);
        assert_eq!(failures(&throttle, "a", address(1), 1000), 6);
        assert_eq!(
            failures(&throttle, "a", address(2), 1),
            1,
            "another address"
        );
        assert_eq!(failures(&throttle, "b", address(1), 1), 1, "another user");
        tokio::time::advance(Duration::from_secs(21)).await;
        assert_eq!(failures(&throttle, "a", address(1), 1000), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gets_in_is_not_limited() {
        let throttle = Throttle::new(6);
        for _ in 0..1000 {
            throttle.attempt("a", address(1)).unwrap().succeeded();
        }
        assert_eq!(failures(&throttle, "a", address(1), 1000), 6);
        assert_eq!(failures(&Throttle::new(0), "a", None, 1000), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_spread_over_names_find_an_end_that_is_not_everybodys() {
        let throttle = Throttle::new(6);
        throttle.attempt("friend", address(9)).unwrap().succeeded();
        let strangers: u32 = (0..1000)
            .map(|number| failures(&throttle, &number.to_string(), address(1), 1))
            .sum();
        assert_eq!(strangers, 6 * STRANGERS_SHARE);
        assert_eq!(failures(&throttle, "friend", address(9), 1), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let throttle = Throttle::new(u32::MAX / 8);
        for number in 0..THROTTLED_PAIRS + 9 {
            let _ = throttle.attempt(&number.to_string(), address(1));
        }
        assert!(throttle.state.lock().pairs.len() <= THROTTLED_PAIRS);
        for number in 0..TRUSTED_PAIRS + 9 {
            let attempt = throttle.attempt(&number.to_string(), address(2));
            attempt.unwrap().succeeded();
        }
        let state = throttle.state.lock();
        assert_eq!(
            (state.trusted.len(), state.order.len()),
            (TRUSTED_PAIRS, TRUSTED_PAIRS)
        );
    }
}
