//! What a controller counts (OpenMetrics).

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Of one controller. Clones are the same metrics.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    done: Counter<u64, AtomicU64>,
    failed: Counter<u64, AtomicU64>,
    broken: Counter<u64, AtomicU64>,
    seconds: Histogram,
    waiting: Gauge,
    running: Gauge,
    leading: Gauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics(Arc::new(Kept {
            done: Counter::default(),
            failed: Counter::default(),
            broken: Counter::default(),
            // One millisecond to about half a minute.
            seconds: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            waiting: Gauge::default(),
            running: Gauge::default(),
            leading: Gauge::default(),
        }))
    }
}

impl Metrics {
    /// Shows them in `registry`, whose prefix tells which controller they are of.
    pub fn register(&self, registry: &mut Registry) {
        let kept = &self.0;
        let mut add = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        add("reconciles", "Reconciles that ended well", &kept.done);
        add("reconcile_errors", "Reconciles that failed", &kept.failed);
        add(
            "unreadable",
            "Objects found that cannot be read",
            &kept.broken,
        );
        let help = "Time of a reconcile, in seconds";
        registry.register("reconcile_duration_seconds", help, kept.seconds.clone());
        let help = "Names that wait to be reconciled";
        registry.register("queue_depth", help, kept.waiting.clone());
        registry.register("running", "Reconciles under way", kept.running.clone());
        let help = "1 while this replica reconciles";
        registry.register("leading", help, kept.leading.clone());
    }

    /// How many reconciles have ended, well or not.
    pub fn reconciles(&self) -> u64 {
        self.0.done.get() + self.0.failed.get()
    }

    pub(super) fn reconciled(&self, took: Duration, well: bool) {
        self.0.seconds.observe(took.as_secs_f64());
        match well {
            true => self.0.done.inc(),
            false => self.0.failed.inc(),
        };
    }

    pub(super) fn broken(&self) {
        self.0.broken.inc();
    }

    pub(super) fn depth(&self, waiting: usize, running: usize) {
        self.0
            .waiting
            .set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.0
            .running
            .set(i64::try_from(running).unwrap_or(i64::MAX));
    }

    pub(super) fn leads(&self, leads: bool) {
        self.0.leading.set(i64::from(leads));
    }
}
