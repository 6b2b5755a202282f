//! A resource of a cluster that tells by its one condition how far it is.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::operator::cluster::{Cluster, LIMIT, NAMESPACE, row};

/// A resource on the node.
pub struct Declared<'a> {
    pub cluster: &'a Cluster,
    pub kind: &'static str,
    pub name: &'static str,
}

impl Declared<'_> {
    /// Declares it, or declares it otherwise.
    pub fn apply(&self, spec: &Value) -> Result<()> {
        let mut spec = spec.clone();
        if spec["cluster"].is_null() {
            spec["cluster"] = json!(self.cluster.name);
        }
        self.cluster.kubectl.apply(&[json!({
            "apiVersion": "mainstay.dev/v1alpha1", "kind": self.kind,
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": spec,
        })])
    }

    pub fn get(&self) -> Result<Value> {
        self.cluster.kubectl.json(&["get", self.kind, self.name])
    }

    /// Waits until what is told of the present generation holds.
    pub fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Duration> {
        let since = Instant::now();
        let words = ["get", self.kind, self.name, "-o", "json"];
        let settled = |text: &str| {
            let seen: Value = serde_json::from_str(text).unwrap_or_default();
            let current = seen["status"]["observedGeneration"] == seen["metadata"]["generation"];
            current && holds(&seen)
        };
        let waited = self.cluster.kubectl.until(what, LIMIT, &words, settled);
        match waited {
            Ok(_) => Ok(since.elapsed()),
            Err(error) => bail!("{error:#}\n{}", self.log()),
        }
    }

    /// Waits until it is as asked for.
    pub fn until_good(&self) -> Result<Duration> {
        self.until(&format!("{} is as asked for", self.name), |seen| {
            row(seen, "Ready")["status"] == "True"
        })
    }

    /// Waits until it is not ready for this reason, and says so with these words.
    pub fn until_told(&self, reason: &str, words: &str) -> Result<Duration> {
        self.until(&format!("{} tells of {reason}", self.name), |seen| {
            let row = row(seen, "Ready");
            let message = row["message"].as_str().unwrap_or_default();
            row["status"] == "False" && row["reason"] == *reason && message.contains(words)
        })
    }

    /// How often a change by another was put right.
    pub fn drifts(&self) -> Result<u64> {
        Ok(self.get()?["status"]["drifts"].as_u64().unwrap_or_default())
    }

    pub fn delete(&self) -> Result<()> {
        let words = ["delete", self.kind, self.name, "--timeout=60s"];
        self.cluster.kubectl.run(&words).map(drop)
    }

    fn log(&self) -> String {
        let words = [
            "logs",
            "-n",
            crate::operator::install::NAMESPACE,
            "deployment/mainstay-operator",
            "--tail=40",
        ];
        let log = self.cluster.kubectl.run(&words);
        log.unwrap_or_else(|error| format!("{error:#}"))
    }
}
