//! Who changes a key back whenever it is put right is not fought for ever: after ten corrections
//! within a minute the key rests.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// So many corrections of one key within [`SPAN`] are a fight.
const MOST: usize = 10;
const SPAN: Duration = Duration::from_secs(60);
/// How long a key is left alone then.
const REST: Duration = Duration::from_secs(30);

/// The corrections of a set's keys.
#[derive(Debug, Default)]
pub struct Fights {
    corrected: HashMap<Bytes, VecDeque<Instant>>,
    resting: HashMap<Bytes, Instant>,
}

impl Fights {
    /// Counts a correction; true if the key rests from now on.
    pub fn corrected(&mut self, key: &Bytes, now: Instant) -> bool {
        let times = self.corrected.entry(key.clone()).or_default();
        while times
            .front()
            .is_some_and(|time| now.duration_since(*time) >= SPAN)
        {
            times.pop_front();
        }
        times.push_back(now);
        if times.len() <= MOST {
            return false;
        }
        self.corrected.remove(key);
        self.resting.insert(key.clone(), now + REST);
        true
    }

    /// The keys that rest.
    pub fn resting(&mut self, now: Instant) -> BTreeSet<Bytes> {
        self.resting.retain(|_, until| *until > now);
        self.resting.keys().cloned().collect()
    }

    /// How long until the next one has rested.
    pub fn until(&self, now: Instant) -> Option<Duration> {
        let first = self.resting.values().min()?;
        Some(first.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_fought_for_rests_and_others_do_not() {
        let (mut fights, start) = (Fights::default(), Instant::now());
        let (key, other) = (Bytes::from_static(b"k"), Bytes::from_static(b"o"));
        for turn in 0..10 {
            assert!(!fights.corrected(&key, start + Duration::from_secs(turn)));
        }
        assert!(!fights.corrected(&other, start));
        let now = start + Duration::from_secs(10);
        assert!(fights.corrected(&key, now));
        assert_eq!(fights.resting(now), [key.clone()].into());
        assert_eq!(fights.until(now), Some(REST));
        assert!(fights.resting(now + REST).is_empty());
        assert_eq!(fights.until(now + REST), None);
    }

    #[test]
    fn corrections_far_apart_are_no_fight() {
        let (mut fights, start) = (Fights::default(), Instant::now());
        for turn in 0..50 {
            let now = start + Duration::from_secs(turn * 7);
            assert!(!fights.corrected(&Bytes::from_static(b"k"), now));
        }
    }
}
