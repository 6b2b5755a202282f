//! What this crate measures, and the text format in which everything is told.
//!
//! Nothing on the path of a request hashes a label or takes a lock that others wait for. Which
//! metrics there are, and what each means, is in `http/metrics.rs`.

mod clients;
mod disk;
mod histogram;
mod promotions;
mod text;

use std::sync::atomic::AtomicU64;
use std::time::Instant;

pub use clients::ClientVersions;
pub use disk::Disk;
pub use histogram::{Histogram, Snapshot};
pub use promotions::Promotions;
pub use text::{Text, escape};

/// Counters of the services and of health.
#[derive(Default)]
pub struct Observed {
    pub clients: ClientVersions,
    pub put_seconds: Requests,
    pub range_seconds: Requests,
    pub delete_seconds: Requests,
    pub txn_seconds: Requests,
    pub health_success: AtomicU64,
    pub health_failures: AtomicU64,
    pub promotions: Promotions,
    pub checks: crate::http::CheckCounters,
}

/// Durations of one kind of request, apart by success.
pub struct Requests {
    pub succeeded: Histogram,
    pub failed: Histogram,
}

impl Requests {
    pub fn observe(&self, started: Instant, success: bool) {
        let which = if success {
            &self.succeeded
        } else {
            &self.failed
        };
        which.observe(started.elapsed());
    }
}

impl Default for Requests {
    /// etcd's buckets of `etcd_server_request_duration_seconds`.
    fn default() -> Self {
        let buckets = || Histogram::exponential(0.001, 14);
        Requests {
            succeeded: buckets(),
            failed: buckets(),
        }
    }
}
