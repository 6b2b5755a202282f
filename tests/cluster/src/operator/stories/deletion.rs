//! What stays of a cluster that is deleted, and who waits for whom.

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::kubectl::Kubectl;
use crate::operator::cluster::{Cluster, LIMIT};
use crate::operator::etcdctl::Etcdctl;

/// Volumes that are to stay do, and no later cluster of the name begins on them.
pub fn kept(kubectl: &Kubectl) -> Result<()> {
    let cluster = Cluster::new(kubectl, "kept");
    let spec = json!({"storage": {"whenDeleted": "Retain"}});
    cluster.apply(1, &spec)?;
    cluster.until_ready(1)?;
    Etcdctl::open(&cluster)?.put("kept", "on its volume")?;
    let words = ["delete", "msc", cluster.name, "--timeout=180s"];
    kubectl.run(&words)?;
    cluster.until_gone("persistentvolumeclaim")?;
    let volume = cluster.field("pvc", "data-kept-0", "{.spec.volumeName}")?;
    if volume.is_empty() {
        bail!("the volume is gone");
    }
    cluster.apply(1, &spec)?;
    let words = ["data-kept-N (N = 0)", "delete them"];
    cluster.until_told("Degraded", "VolumesFound", &words)?;
    // It never got ready, and goes without touching what is not its own.
    kubectl.run(&words_to_delete(&cluster))?;
    cluster.until_gone("persistentvolumeclaim")?;
    if cluster.field("pvc", "data-kept-0", "{.spec.volumeName}")? != volume {
        bail!("the volume is another one");
    }
    cluster.apply(1, &spec)?;
    kubectl.run(&["delete", "pvc", "data-kept-0"])?;
    cluster.until_ready(1)?;
    let found = Etcdctl::open(&cluster)?.run(&["get", "kept"])?;
    if !found.trim().is_empty() {
        bail!("the new cluster has the data of the former: {found}");
    }
    cluster.patch(&json!({"spec": {"storage": {"whenDeleted": "Delete"}}}))?;
    cluster.delete()
}

fn words_to_delete(cluster: &Cluster) -> [&str; 4] {
    ["delete", "msc", cluster.name, "--timeout=180s"]
}

/// Deleted while no operator runs: it waits, and its members serve.
pub fn begin_unheard(cluster: &Cluster) -> Result<()> {
    let words = ["delete", "msc", cluster.name, "--wait=false"];
    cluster.kubectl.run(&words)?;
    let seen = cluster.get()?;
    let since = seen["metadata"]["deletionTimestamp"].as_str();
    since.context("its deletion has not begun")?;
    Etcdctl::open(cluster)?.put("late", "but not too late")
}

/// The operator is back and finishes it.
pub fn end_unheard(cluster: &Cluster) -> Result<()> {
    let words = ["get", "msc", cluster.name, "--ignore-not-found", "-o=name"];
    let gone = |text: &str| text.trim().is_empty();
    cluster.kubectl.until("it is gone", LIMIT, &words, gone)?;
    cluster.until_gone("")
}
