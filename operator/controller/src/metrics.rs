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

/// A resource that declares something of a store.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Declared {
    pub kind: &'static str,
    pub namespace: String,
    pub name: String,
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
    /// 1 while it is as declared.
    pub declared: Family<Declared, Gauge>,
    pub keyset_keys: Family<Object, Gauge>,
    pub keyset_in_sync: Family<Object, Gauge>,
    pub keyset_conflicts: Family<Object, Gauge>,
    pub keyset_refused: Family<Object, Gauge>,
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
            declared: Family::default(),
            keyset_keys: Family::default(),
            keyset_in_sync: Family::default(),
            keyset_conflicts: Family::default(),
            keyset_refused: Family::default(),
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
            declared, "declared_ready",
                "1 while a key set, a user or a role is as declared, by kind of resource.";
            keyset_keys, "keyset_keys", "Keys that a set declares.";
            keyset_in_sync, "keyset_in_sync", "Declared keys of a set that have their value.";
            keyset_conflicts, "keyset_conflicts", "Declared keys of a set that belong to another set.";
            keyset_refused, "keyset_refused", "Changes of a set that the cluster refuses.";
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

    /// Shows whether a resource is as declared; `None` if it is not to be, or is gone.
    pub fn declare(&self, kind: &'static str, object: &Object, ready: Option<bool>) {
        let row = Declared {
            kind,
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        };
        match ready {
            Some(ready) => {
                self.declared.get_or_create(&row).set(ready.into());
            }
            None => {
                self.declared.remove(&row);
            }
        }
    }

    /// Drops the rows of a set that is gone.
    pub fn forget_keyset(&self, object: &Object) {
        self.keyset_keys.remove(object);
        self.keyset_in_sync.remove(object);
        self.keyset_conflicts.remove(object);
        self.keyset_refused.remove(object);
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

    #[test]
    fn what_is_declared_is_shown_by_kind_and_forgotten() {
        let metrics = Metrics::default();
        let object = Object {
            namespace: "n".into(),
            name: "a".into(),
        };
        metrics.declare("MainstayUser", &object, Some(false));
        metrics.declare("MainstayKeySet", &object, Some(true));
        let rows = |text: &str| {
            let rows = text.lines().filter(|row| row.contains("name=\"a\""));
            rows.map(str::to_owned).collect::<Vec<_>>()
        };
        let name = "mainstay_operator_declared_ready";
        let mut shown = rows(&metrics.text());
        shown.sort();
        assert_eq!(
            shown,
            [
                format!("{name}{{kind=\"MainstayKeySet\",namespace=\"n\",name=\"a\"}} 1"),
                format!("{name}{{kind=\"MainstayUser\",namespace=\"n\",name=\"a\"}} 0"),
            ]
        );
        metrics.declare("MainstayUser", &object, None);
        metrics.declare("MainstayKeySet", &object, None);
        assert!(rows(&metrics.text()).is_empty());
    }
}
