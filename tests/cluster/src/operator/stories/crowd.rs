//! Many clusters at once, most of them asleep: the operator's memory stays small, its queue drains,
//! and one that cannot work harms no other.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cgroup;
use crate::kubectl::Kubectl;
use crate::operator::cluster::{LIMIT, condition};
use crate::operator::install;
use crate::operator::times::Times;
use crate::provisioner;

const PLACE: &str = "crowd";
const CLUSTERS: usize = 50;
/// Those that run, with one member each.
const AWAKE: usize = 4;
/// What the operator may take.
const MEMORY: u64 = 100 << 20;
/// Nothing is done for so long once the queue has drained.
const STILL: Duration = Duration::from_secs(3);

pub fn crowd(kubectl: &Kubectl, times: &mut Times) -> Result<()> {
    let since = Instant::now();
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}});
    kubectl.apply(&[space])?;
    let place = kubectl.within(PLACE);
    let all: Vec<Value> = (0..CLUSTERS).map(member).collect();
    place.apply(&all)?;
    place.until(
        "all are as asked for",
        LIMIT,
        &["get", "msc", "-o=json"],
        |text| {
            let found: Value = serde_json::from_str(text).unwrap_or_default();
            let items = found["items"].as_array().cloned().unwrap_or_default();
            items.len() == CLUSTERS && items.iter().all(is_settled)
        },
    )?;
    times.note("50 clusters declared to settled", since.elapsed());
    drained(kubectl)?;
    times.note("50 clusters declared to a drained queue", since.elapsed());
    let since = Instant::now();
    place.run(&["delete", "msc", "--all", "--timeout=240s"])?;
    times.note("50 clusters deleted", since.elapsed());
    let left = ["get", "statefulsets,pods,configmaps,pvc", "-o=name"];
    place.until("nothing is left of them", LIMIT, &left, |text| {
        // Kubernetes puts its own CA into every namespace.
        text.lines().all(|line| line.ends_with("kube-root-ca.crt"))
    })?;
    let peak = xtask::process::peak_resident(operator()?)?;
    times.say(format!("operator's memory at its peak: {} MiB", peak >> 20));
    match peak < MEMORY {
        true => Ok(()),
        false => bail!("the operator took {peak} bytes"),
    }
}

/// Some run, one cannot work, the others sleep.
fn member(number: usize) -> Value {
    let class = match number {
        AWAKE => "nowhere",
        _ => provisioner::CLASS,
    };
    json!({
        "apiVersion": "mainstay.dev/v1alpha1",
        "kind": "MainstayCluster",
        "metadata": {"name": format!("crowd-{number}"), "namespace": PLACE},
        "spec": {
            "replicas": 1,
            "hibernated": number > AWAKE,
            "storage": {"size": "64Mi", "class": class, "whenDeleted": "Delete"},
        },
    })
}

fn is_settled(object: &Value) -> bool {
    let status = &object["status"];
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let number = name
        .strip_prefix("crowd-")
        .and_then(|text| text.parse().ok());
    let is_current = status["observedGeneration"] == object["metadata"]["generation"];
    is_current
        && match number {
            Some(..AWAKE) => condition(object, "Ready") == Some("True"),
            Some(AWAKE) => status["conditions"]
                .to_string()
                .contains("StorageClassUnknown"),
            _ => status["phase"] == "Hibernated",
        }
}

/// Waits until no pass is under way and none has ended for a while but those of clusters that run
/// or cannot, which are looked at again and again.
fn drained(kubectl: &Kubectl) -> Result<()> {
    let path = "-o=jsonpath={.items[0].status.podIP}";
    let words = ["get", "pods", "-n", install::NAMESPACE, path];
    let url = format!("http://{}:8080/metrics", kubectl.run(&words)?);
    let mut last = (Instant::now(), 0);
    xtask::process::wait_until("the queue has drained", LIMIT, || {
        let text = crate::suite::fetch(&["-O", "-", &url])?;
        let passes = sample(&text, "mainstay_operator_reconciles_total")?;
        let running = sample(&text, "mainstay_operator_reconciles_running")?;
        if running > 0 || passes > last.1 + AWAKE as u64 + 1 {
            last = (Instant::now(), passes);
        }
        Ok(last.0.elapsed() > STILL)
    })
    .map(drop)
}

/// The value of a metric for clusters.
fn sample(text: &str, name: &str) -> Result<u64> {
    let row = format!("{name}{{kind=\"MainstayCluster\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&row));
    Ok(value.with_context(|| format!("no {row}"))?.trim().parse()?)
}

/// The operator's process, as this machine counts it.
fn operator() -> Result<u32> {
    let is_it = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"/usr/local/bin/mainstay-operator\0")
    };
    let found: Vec<u32> = cgroup::processes()?.into_iter().filter(is_it).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        other => bail!("{} processes of the operator run", other.len()),
    }
}
