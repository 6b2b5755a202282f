//! How long an object that fails waits: longer each time, and not in step with others.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(120);

/// Failures in a row, for each object that has any.
#[derive(Debug)]
pub struct Backoff<K>(Mutex<HashMap<K, u32>>);

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Backoff(Mutex::new(HashMap::new()))
    }
}

impl<K: Eq + Hash> Backoff<K> {
    /// Counts a failure and says when to try again.
    pub fn failed(&self, key: K) -> Duration {
        let mut failures = self.0.lock();
        let count = failures.entry(key).or_insert(0);
        let delay = delay(*count);
        *count = count.saturating_add(1);
        // Between half and the whole of it, so that many do not come back at one moment.
        delay.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Forgets the failures of an object that went well, or that is gone.
    pub fn succeeded(&self, key: &K) {
        self.0.lock().remove(key);
    }
}

fn delay(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.min(16));
    FIRST.saturating_mul(factor).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit_and_begin_anew() {
        let backoff = Backoff::default();
        for _ in 0..5 {
            backoff.failed("a");
        }
        let long = backoff.failed("a");
        assert!(long >= Duration::from_secs(16) && long <= Duration::from_secs(32));
        assert!(backoff.failed("b") <= FIRST);
        backoff.succeeded(&"a");
        assert!(backoff.failed("a") <= FIRST);
        assert_eq!(delay(u32::MAX), LONGEST);
    }
}
