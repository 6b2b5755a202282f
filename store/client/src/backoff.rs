//! How long to wait before the next try: twice as long each time, up to a bound, and never the same
//! for two who failed together.

use std::time::Duration;

use rand::Rng;

#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, most: Duration) -> Backoff {
        Backoff {
            first,
            most,
            tries: 0,
        }
    }

    /// The next wait, between the half and the whole of its step.
    pub(crate) fn next(&mut self) -> Duration {
        let step = step(self.first, self.most, self.tries);
        self.tries = self.tries.saturating_add(1);
        step.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

/// `first` doubled `tries` times, at most `most`.
pub(crate) fn step(first: Duration, most: Duration, tries: u32) -> Duration {
    let doubled = 2_u32.checked_pow(tries);
    let step = doubled.and_then(|times| first.checked_mul(times));
    step.map_or(most, |step| step.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_its_bound() {
        let (first, most) = (Duration::from_millis(10), Duration::from_secs(1));
        assert_eq!(step(first, most, 0), first);
        assert_eq!(step(first, most, 3), Duration::from_millis(80));
        assert_eq!(step(first, most, 7), most);
        assert_eq!(step(first, most, 4_000_000_000), most);
    }

    #[test]
    fn a_wait_lies_between_the_half_and_the_whole_of_its_step() {
        let (first, most) = (Duration::from_millis(64), Duration::from_secs(1));
        for _ in 0..100 {
            let mut backoff = Backoff::new(first, most);
            backoff.next();
            let second = backoff.next();
            assert!((Duration::from_millis(64)..=Duration::from_millis(128)).contains(&second));
        }
    }
}
