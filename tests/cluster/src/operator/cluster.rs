//! One MainstayCluster on the node, as a user sees and changes it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::provisioner;

/// How long a story may take on a node that is up, however slow the machine.
pub const LIMIT: Duration = Duration::from_secs(240);

pub const NAMESPACE: &str = "default";

pub struct Cluster {
    /// In the namespace of the cluster.
    pub kubectl: Kubectl,
    pub namespace: String,
    pub name: &'static str,
}

impl Cluster {
    pub fn new(kubectl: &Kubectl, name: &'static str) -> Self {
        Self::within(kubectl, NAMESPACE, name)
    }

    pub fn within(kubectl: &Kubectl, namespace: &str, name: &'static str) -> Self {
        Self {
            kubectl: kubectl.within(namespace),
            namespace: namespace.to_owned(),
            name,
        }
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
            "metadata": {"name": self.name, "namespace": self.namespace},
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

    /// Waits until a condition has this reason, and says so with these words in its message.
    pub fn until_told(&self, kind: &str, reason: &str, words: &[&str]) -> Result<Duration> {
        let what = format!("{} tells of {reason}", self.name);
        let told = self.until(&what, |seen| row(seen, kind)["reason"] == *reason)?;
        let message = row(&self.get()?, kind)["message"].to_string();
        match words.iter().find(|word| !message.contains(**word)) {
            Some(word) => bail!("{reason} of {} lacks {word:?}: {message}", self.name),
            None => Ok(told),
        }
    }

    pub fn annotate(&self, key: &str, value: &str) -> Result<()> {
        let asked = format!("mainstay.dev/{key}={value}");
        let words = ["annotate", "msc", self.name, "--overwrite", &asked];
        self.kubectl.run(&words).map(drop)
    }

    /// The pods with their ids, sorted.
    pub fn pods(&self) -> Result<Vec<String>> {
        let path = "-o=jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
        let words = ["get", "pods", "-l", &self.selector(), path];
        let text = self.kubectl.run(&words)?;
        let mut pods: Vec<String> = text.lines().map(str::to_owned).collect();
        pods.sort();
        Ok(pods)
    }

    /// What the operator and Kubernetes have made for it is told by this label.
    pub fn selector(&self) -> String {
        format!("app.kubernetes.io/instance={}", self.name)
    }

    /// The pod that leads, by its label.
    pub fn leader(&self) -> Result<String> {
        let one = |text: &str| !text.is_empty() && !text.contains(' ');
        self.until_led("one pod is labelled leader", one)
    }

    /// Waits until the pods that are labelled leader are what is asked for; mostly it is one.
    pub fn until_led(&self, what: &str, accepts: impl Fn(&str) -> bool) -> Result<String> {
        let selector = format!("{},mainstay.dev/role=leader", self.selector());
        let words = [
            "get",
            "pods",
            "-l",
            &selector,
            "-o=jsonpath={.items[*].metadata.name}",
        ];
        self.kubectl.until(what, LIMIT, &words, accepts)
    }

    pub fn pod(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.name)
    }

    /// Ends a pod at once, as a machine that fails does; says the id that it had.
    pub fn kill(&self, pod: &str) -> Result<String> {
        let id = self.field("pod", pod, "{.metadata.uid}")?;
        let words = ["delete", "pod", pod, "--grace-period=0", "--force"];
        self.kubectl.run(&words)?;
        Ok(id)
    }

    /// Waits until a pod that was killed is there again, ready and under another id, and then for so
    /// many ready members: what the operator had reported before it saw the loss does not count.
    pub fn until_back(&self, pod: &str, killed: &str, members: u32) -> Result<()> {
        let path = "-o=jsonpath={.metadata.uid} {.status.conditions[?(@.type==\"Ready\")].status}";
        let words = ["get", "pod", pod, "--ignore-not-found", path];
        let back = |text: &str| {
            let mut said = text.split_whitespace();
            said.next().is_some_and(|id| id != killed) && said.next() == Some("True")
        };
        let what = format!("{pod} is back");
        self.kubectl.until(&what, LIMIT, &words, back)?;
        self.until_ready(members).map(drop)
    }

    /// One field of an object, empty if there is none.
    pub fn field(&self, kind: &str, name: &str, path: &str) -> Result<String> {
        let output = format!("-o=jsonpath={path}");
        self.kubectl
            .run(&["get", kind, name, "--ignore-not-found", &output])
    }

    /// The values of a Secret, all of one moment.
    pub fn secret(&self, name: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        use base64::Engine as _;
        let secret = self.kubectl.json(&["get", "secret", name])?;
        let data = secret["data"].as_object();
        let data = data.with_context(|| format!("Secret {name} is empty"))?;
        let engine = base64::engine::general_purpose::STANDARD;
        let values = data.iter().map(|(key, value)| {
            let value = value.as_str().unwrap_or_default();
            Ok((key.clone(), engine.decode(value)?))
        });
        values.collect()
    }

    /// What a client shows and trusts, by a Secret: CA, certificate and key.
    pub fn credentials(&self, secret: &str) -> Result<[Vec<u8>; 3]> {
        let mut data = self.secret(secret)?;
        let mut part = |key: &str| {
            let value = data.remove(key);
            value.with_context(|| format!("Secret {secret} has no {key}"))
        };
        Ok([part("ca.crt")?, part("tls.crt")?, part("tls.key")?])
    }

    /// Deletes it and waits until nothing of it is left.
    pub fn delete(&self) -> Result<()> {
        self.kubectl
            .run(&["delete", "msc", self.name, "--wait=true", "--timeout=180s"])?;
        self.until_gone("")
    }

    /// Waits until nothing of it is left but what `kept` names, such as `persistentvolumeclaim`.
    pub fn until_gone(&self, kept: &str) -> Result<()> {
        let kinds = "statefulsets,pods,services,configmaps,secrets,poddisruptionbudgets,persistentvolumeclaims";
        let words = ["get", kinds, "-l", &self.selector(), "-o=name"];
        let gone = |text: &str| {
            let mut lines = text.lines().filter(|line| !line.is_empty());
            lines.all(|line| !kept.is_empty() && line.starts_with(kept))
        };
        let waited = self
            .kubectl
            .until("nothing is left of it", LIMIT, &words, gone);
        waited.map(drop)
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
    row(object, kind)["status"].as_str()
}

/// A condition of an object; null if there is none of this kind.
pub fn row<'a>(object: &'a Value, kind: &str) -> &'a Value {
    const NONE: &Value = &Value::Null;
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind);
    found.unwrap_or(NONE)
}

/// An error unless these are the same pods.
pub fn same(before: &[String], now: &[String]) -> Result<()> {
    match before == now {
        true => Ok(()),
        false => bail!("pods were {before:?} and are {now:?}"),
    }
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
