//! How a hub is set up.

use std::{fmt, sync::Arc, time::Duration};

/// Bytes of encoded events kept for streams to read, unless told otherwise.
pub const RING_BYTES_MAX: usize = 64 << 20;

/// Pause between progress notifications of an idle watch, unless told otherwise (etcd's default).
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(600);

/// A shorter interval is raised to this (etcd's rule).
pub const PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// etcd's default `--max-request-bytes` of 1.5 MiB and its 512 KiB of overhead.
pub const FRAGMENT_BYTES_MAX: usize = (1536 << 10) + (512 << 10);

/// What every response header says beside the revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeaderIds {
    pub cluster_id: u64,
    pub member_id: u64,
    pub raft_term: u64,
}

/// Asked once per response; must be cheap.
pub type HeaderSource = Arc<dyn Fn() -> HeaderIds + Send + Sync>;

/// Texts for `cancel_reason`: those of etcd are known to the API only.
#[derive(Debug, Clone)]
pub struct Reasons {
    /// The id given is in use on the stream.
    pub duplicate_id: String,
    /// The range ends where it begins, or before.
    pub empty_range: String,
    /// The start revision is negative.
    pub compacted: String,
    /// The stream holds as many watches as it may.
    pub too_many: String,
}

/// How a hub works.
#[derive(Clone)]
pub struct Options {
    /// Bytes of encoded events kept in memory for all streams together.
    pub ring_bytes_max: usize,
    /// Between progress notifications; zero stands for the default, less than
    /// [`PROGRESS_INTERVAL_MIN`] is raised to it. Up to a tenth is added as jitter.
    pub progress_interval: Duration,
    /// Largest response of a watch that asked for fragments, in bytes.
    pub fragment_bytes_max: usize,
    pub reasons: Reasons,
    pub header: HeaderSource,
    /// Proves that the watch checker notices: progress overtakes the events before it.
    #[cfg(feature = "planted-faults")]
    pub fault_progress_first: bool,
}

impl Options {
    /// The defaults.
    pub fn new(header: HeaderSource, reasons: Reasons) -> Options {
        Options {
            ring_bytes_max: RING_BYTES_MAX,
            progress_interval: PROGRESS_INTERVAL,
            fragment_bytes_max: FRAGMENT_BYTES_MAX,
            reasons,
            header,
            #[cfg(feature = "planted-faults")]
            fault_progress_first: false,
        }
    }

    /// The interval for the stream of this number: never below the minimum, with jitter so that
    /// many streams opened together do not all speak at once.
    pub(crate) fn interval(&self, stream: u64) -> Duration {
        let base = match self.progress_interval {
            Duration::ZERO => PROGRESS_INTERVAL,
            interval => interval.max(PROGRESS_INTERVAL_MIN),
        };
        // Fibonacci hashing spreads consecutive stream numbers over the tenth.
        let spread = (stream.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as u32;
        base + base / 10 * spread / 1024
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("ring_bytes_max", &self.ring_bytes_max)
            .field("progress_interval", &self.progress_interval)
            .field("fragment_bytes_max", &self.fragment_bytes_max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_has_a_floor_and_at_most_a_tenth_of_jitter() {
        let reasons = Reasons {
            duplicate_id: String::new(),
            empty_range: String::new(),
            compacted: String::new(),
            too_many: String::new(),
        };
        let mut options = Options::new(Arc::new(HeaderIds::default), reasons);
        let mut seen = std::collections::HashSet::new();
        for stream in 0..200 {
            let interval = options.interval(stream);
            assert!(interval >= PROGRESS_INTERVAL && interval <= PROGRESS_INTERVAL * 11 / 10);
            seen.insert(interval);
        }
        assert!(seen.len() > 100, "streams speak at different times");
        options.progress_interval = Duration::from_millis(3);
        assert!(options.interval(0) >= PROGRESS_INTERVAL_MIN);
        options.progress_interval = Duration::ZERO;
        assert!(options.interval(0) >= PROGRESS_INTERVAL);
    }
}
