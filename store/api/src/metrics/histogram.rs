//! Durations by buckets.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts of observations up to each bound, and their sum. Reading it while it is written may
/// show an observation in one and not yet in the other, as any scrape may.
pub struct Histogram {
    /// Upper bounds in nanoseconds.
    bounds: Vec<u64>,
    /// One for each bound, then one for all above.
    counts: Vec<AtomicU64>,
    nanos: AtomicU64,
}

/// What a histogram held at one moment.
pub struct Snapshot {
    /// Upper bound in seconds and observations up to it.
    pub cumulative: Vec<(f64, u64)>,
    pub count: u64,
    pub seconds: f64,
}

impl Histogram {
    /// Bounds start at `first` seconds and double `buckets` times in all.
    pub fn exponential(first: f64, buckets: usize) -> Histogram {
        Histogram::new((0..buckets).map(|at| first * 2f64.powi(at as i32)))
    }

    /// The bounds that Prometheus' client libraries have when nobody says otherwise.
    pub fn of_requests() -> Histogram {
        Histogram::new([
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ])
    }

    /// Bounds in ascending seconds.
    fn new(bounds: impl IntoIterator<Item = f64>) -> Histogram {
        let nanos = |seconds: f64| (seconds * 1e9).round() as u64;
        let bounds: Vec<u64> = bounds.into_iter().map(nanos).collect();
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram {
            bounds,
            counts,
            nanos: AtomicU64::new(0),
        }
    }

    pub fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds.partition_point(|bound| *bound < nanos);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.nanos.fetch_add(nanos, Relaxed);
    }

    pub fn snapshot(&self) -> Snapshot {
        let mut count = 0;
        let mut cumulative = Vec::with_capacity(self.bounds.len());
        for (bound, in_bucket) in self.bounds.iter().zip(&self.counts) {
            count += in_bucket.load(Relaxed);
            cumulative.push((*bound as f64 / 1e9, count));
        }
        count += self.counts.last().map_or(0, |above| above.load(Relaxed));
        Snapshot {
            cumulative,
            count,
            seconds: self.nanos.load(Relaxed) as f64 / 1e9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_fall_at_or_below_their_bound() {
        let histogram = Histogram::exponential(0.001, 3);
        for micros in [1, 1000, 1001, 4000, 4001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let seen = histogram.snapshot();
        assert_eq!(seen.cumulative, [(0.001, 2), (0.002, 3), (0.004, 4)]);
        assert_eq!(seen.count, 5);
        assert!((seen.seconds - 0.010003).abs() < 1e-9);
    }
}
