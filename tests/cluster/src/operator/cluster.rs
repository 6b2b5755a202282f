//! One MainstayCluster on the node, as a user sees and changes it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::provisioner;

/// How long a story may take on a node that is up, however slow the machine.
pub const LIMIT: Duration = Duration::from_secs(240);

pub const NAMESPACE: &str = "default";

pub struct Cluster {
    pub kubectl: Kubectl,
    pub name: &'static str,
}

impl Cluster {
    pub fn new(kubectl: Kubectl, name: &'static str) -> Self {
        Self { kubectl, name }
    }

    /// Declares it with so many members.
    pub fn apply(&self, replicas: u32, more: &Value) -> Result<()> {
        let mut spec = json!({
            "replicas": replicas,
            "storage": {"class": provisioner::CLASS, "size": "256Mi", "whenDeleted": "Delete"},
            "server": {"logLevel": "info"},
        });
        merge(&mut spec, more);
        self.kubectl.apply(&[json!({
            "apiVersion": "mainstay.dev/v1alpha1",
            "kind": "MainstayCluster",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": spec,
        })])
    }

    /// Changes what is declared.
    pub fn patch(&self, change: &Value) -> Result<()> {
        let change = change.to_string();
        let words = [
            "patch",
            "msc",
            self.name,
            "--type=merge",
            "--patch",
            &change,
        ];
        self.kubectl.run(&words).map(drop)
    }

    pub fn get(&self) -> Result<Value> {
        self.kubectl.json(&["get", "msc", self.name])
    }

    /// Waits until what the operator reports holds, for the present generation; says how long.
    pub fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Duration> {
        let since = Instant::now();
        let words = ["get", "msc", self.name, "-o", "json"];
        let settled = |text: &str| {
            let seen: Value = serde_json::from_str(text).unwrap_or_default();
            let current = seen["status"]["observedGeneration"] == seen["metadata"]["generation"];
            current && holds(&seen)
        };
        match self.kubectl.until(what, LIMIT, &words, settled) {
            Ok(_) => Ok(since.elapsed()),
            Err(error) => bail!("{error:#}\n{}", self.describe()),
        }
    }

    /// Waits for so many ready members and nothing left to do.
    pub fn until_ready(&self, members: u32) -> Result<Duration> {
        let ready = format!("{members}/{members}");
        self.until(&format!("{} is {ready}", self.name), |seen| {
            let status = &seen["status"];
            status["ready"] == *ready
                && status["replicas"] == members
                && status["phase"] == "Running"
                && condition(seen, "Ready") == Some("True")
        })
    }

    /// The pod that leads, by its label.
    pub fn leader(&self) -> Result<String> {
        let selector = format!(
            "app.kubernetes.io/instance={},mainstay.dev/role=leader",
            self.name
        );
        let words = [
            "get",
            "pods",
            "-l",
            &selector,
            "-o=jsonpath={.items[*].metadata.name}",
        ];
        let one = |text: &str| !text.is_empty() && !text.contains(' ');
        self.kubectl
            .until("one pod is labelled leader", LIMIT, &words, one)
    }

    pub fn pod(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.name)
    }

    /// One field of an object, empty if there is none.
    pub fn field(&self, kind: &str, name: &str, path: &str) -> Result<String> {
        let output = format!("-o=jsonpath={path}");
        self.kubectl
            .run(&["get", kind, name, "--ignore-not-found", &output])
    }

    /// The value of a key of a Secret.
    pub fn secret(&self, name: &str, key: &str) -> Result<Vec<u8>> {
        use base64::Engine as _;
        let secret = self.kubectl.json(&["get", "secret", name])?;
        let value = secret["data"][key].as_str();
        let value = value.with_context(|| format!("Secret {name} has no {key}"))?;
        Ok(base64::engine::general_purpose::STANDARD.decode(value)?)
    }

    /// Deletes it and waits until nothing of it is left.
    pub fn delete(&self) -> Result<()> {
        self.kubectl
            .run(&["delete", "msc", self.name, "--wait=true", "--timeout=180s"])?;
        let selector = format!("app.kubernetes.io/instance={}", self.name);
        let kinds = "statefulsets,pods,services,configmaps,secrets,poddisruptionbudgets,persistentvolumeclaims";
        let words = ["get", kinds, "-l", &selector, "-o=name"];
        self.kubectl
            .until("nothing is left of it", LIMIT, &words, |text| {
                text.trim().is_empty()
            })?;
        Ok(())
    }

    /// Everything that helps to see why something does not happen.
    fn describe(&self) -> String {
        let selector = format!("app.kubernetes.io/instance={}", self.name);
        let mut told = String::new();
        for words in [
            vec!["get", "msc", self.name, "-o", "yaml"],
            vec!["get", "pods,pvc", "-l", &selector, "-o", "wide"],
            vec!["get", "events", "--sort-by=.lastTimestamp"],
            vec!["logs", "-l", &selector, "--tail=15", "--prefix"],
            vec![
                "logs",
                "-n",
                super::install::NAMESPACE,
                "deployment/mainstay-operator",
                "--tail=40",
            ],
        ] {
            let text = self.kubectl.run(&words);
            told.push_str(&format!("--- kubectl {}\n", words.join(" ")));
            told.push_str(&text.unwrap_or_else(|error| format!("{error:#}\n")));
        }
        told
    }
}

/// The status of a condition of an object.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == kind)?;
    found["status"].as_str()
}

/// Puts the fields of one object over those of another.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
