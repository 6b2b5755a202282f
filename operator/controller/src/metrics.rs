//! What `/metrics` shows of this process and of the clusters it looks after.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Kind {
    pub kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Object {
    pub namespace: String,
    pub name: String,
}

/// Shared by all that count.
pub struct Metrics {
    registry: Registry,
    pub reconciles: Family<Kind, Counter>,
    pub failures: Family<Kind, Counter>,
    pub duration: Family<Kind, Histogram>,
    /// Passes under way.
    pub running: Family<Kind, Gauge>,
    pub leader: Gauge,
    pub steps: Family<Step, Counter>,
    pub members: Family<Object, Gauge>,
    pub ready: Family<Object, Gauge>,
    /// 1 while a quorum answers.
    pub quorum: Family<Object, Gauge>,
    pub success: Family<Object, Gauge<f64, AtomicU64>>,
    pub expiry: Family<Object, Gauge<i64, AtomicI64>>,
    /// By the kind of the resource that says how it should be.
    pub drifts: Family<Kind, Counter>,
    pub keyset_keys: Family<Object, Gauge>,
    pub keyset_conflicts: Family<Object, Gauge>,
    /// From a drift seen to its correction.
    pub keyset_correction: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Step {
    pub step: &'static str,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let duration = Family::new_with_constructor(durations as fn() -> Histogram);
        let mut metrics = Metrics {
            registry: Registry::with_prefix("mainstay_operator"),
            reconciles: Family::default(),
            failures: Family::default(),
            duration,
            running: Family::default(),
            leader: Gauge::default(),
            steps: Family::default(),
            members: Family::default(),
            ready: Family::default(),
            quorum: Family::default(),
            success: Family::default(),
            expiry: Family::default(),
            drifts: Family::default(),
            keyset_keys: Family::default(),
            keyset_conflicts: Family::default(),
            keyset_correction: corrections(),
        };
        metrics.register();
        metrics
    }
}

/// From 5 ms to 10 s.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 12))
}

/// From 1 ms to 16 s.
fn corrections() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        macro_rules! register {
            ($($field:ident, $name:literal, $help:literal;)*) => {
                $(registry.register($name, $help, self.$field.clone());)*
            };
        }
        register! {
            reconciles, "reconciles", "Passes over an object that ended.";
            failures, "reconcile_failures", "Passes over an object that failed.";
            running, "reconciles_running", "Passes under way.";
            leader, "leader", "1 while this process holds the Lease.";
            steps, "steps", "Steps carried out, by kind.";
            members, "cluster_members", "Members of a cluster, as its own list has them.";
            ready, "cluster_ready_members", "Members of a cluster that are ready.";
            quorum, "cluster_quorum", "1 while a quorum of the cluster answers.";
            success, "cluster_last_success_timestamp_seconds",
                "When a pass over the cluster last went well, since unix epoch.";
            expiry, "cluster_certificate_expiry_timestamp_seconds",
                "When the first certificate of the cluster ends, since unix epoch.";
            drifts, "drifts_corrected",
                "Changes in a store by others that were put right, by kind of resource.";
            keyset_keys, "keyset_keys", "Keys that a set declares.";
            keyset_conflicts, "keyset_conflicts", "Declared keys of a set that belong to another set.";
        }
        let duration = self.duration.clone();
        self.registry.register_with_unit(
            "reconcile_duration",
            "How long a pass took.",
            Unit::Seconds,
            duration,
        );
        let correction = self.keyset_correction.clone();
        self.registry.register_with_unit(
            "keyset_correction",
            "From a key seen to differ to its being put right.",
            Unit::Seconds,
            correction,
        );
    }

    /// Counts a pass that ended.
    pub fn passed(&self, kind: &str, took: Duration, failed: bool) {
        let kind = Kind {
            kind: kind.to_owned(),
        };
        self.reconciles.get_or_create(&kind).inc();
        if failed {
            self.failures.get_or_create(&kind).inc();
        }
        let seconds = took.as_secs_f64();
        self.duration.get_or_create(&kind).observe(seconds);
    }

    /// Drops the rows of a cluster that is gone.
    pub fn forget(&self, object: &Object) {
        self.members.remove(object);
        self.ready.remove(object);
        self.quorum.remove(object);
        self.success.remove(object);
        self.expiry.remove(object);
    }

    /// Drops the rows of a set that is gone.
    pub fn forget_keyset(&self, object: &Object) {
        self.keyset_keys.remove(object);
        self.keyset_conflicts.remove(object);
    }

    /// In the text format of OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_and_clusters_are_shown_and_forgotten() {
        let metrics = Metrics::default();
        metrics.passed("MainstayCluster", Duration::from_millis(20), true);
        let object = Object {
            namespace: "n".into(),
            name: "a".into(),
        };
        metrics.members.get_or_create(&object).set(3);
        let text = metrics.text();
        for row in [
            "mainstay_operator_reconciles_total{kind=\"MainstayCluster\"} 1",
            "mainstay_operator_reconcile_failures_total{kind=\"MainstayCluster\"} 1",
            "mainstay_operator_reconcile_duration_seconds_count{kind=\"MainstayCluster\"} 1",
            "mainstay_operator_cluster_members{namespace=\"n\",name=\"a\"} 3",
        ] {
            assert!(text.contains(row), "{row}\n{text}");
        }
        metrics.forget(&object);
        assert!(!metrics.text().contains("name=\"a\""));
    }
}
