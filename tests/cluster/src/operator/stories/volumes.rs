//! Volumes that grow, and classes that do not let them.

use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::json;

use crate::operator::cluster::{Cluster, same};
use crate::operator::times::Times;

/// Larger than what `Cluster::apply` asks for.
const LARGER: &str = "512Mi";
const BYTES: u64 = 512 << 20;

/// All claims grow under running pods, and later members get as much.
pub fn grow(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let before = cluster.pods()?;
    let since = Instant::now();
    cluster.patch(&json!({"spec": {"storage": {"size": LARGER}}}))?;
    cluster.until_ready(3)?;
    times.note("three volumes grown", since.elapsed());
    has_grown(cluster)?;
    same(&before, &cluster.pods()?)
}

/// Every claim has what is asked for, and the StatefulSet asks for it too.
pub fn has_grown(cluster: &Cluster) -> Result<()> {
    let path = "-o=jsonpath={range .items[*]}{.status.capacity.storage}{\"\\n\"}{end}";
    let words = ["get", "pvc", "-l", &cluster.selector(), path];
    let sizes = cluster.kubectl.run(&words)?;
    let is_larger = |size: &str| size == LARGER || size == BYTES.to_string();
    if sizes.trim().is_empty() || !sizes.lines().all(is_larger) {
        bail!("the volumes have {sizes:?}");
    }
    let path = "{.spec.volumeClaimTemplates[0].spec.resources.requests.storage}";
    let template = cluster.field("statefulset", cluster.name, path)?;
    match is_larger(&template) {
        true => Ok(()),
        false => bail!("later volumes get {template}"),
    }
}

/// A class that lets no volume grow says so; once it does, the wish is carried out.
pub fn refuse_growth(cluster: &Cluster, class: &str) -> Result<()> {
    cluster.patch(&json!({"spec": {"storage": {"size": LARGER}}}))?;
    let words = ["data-classless-0", "set allowVolumeExpansion"];
    cluster.until_told("Degraded", "GrowthRefused", &words)?;
    let change = r#"{"allowVolumeExpansion":true}"#;
    let words = ["patch", "storageclass", class, "-p", change];
    cluster.kubectl.run(&words)?;
    cluster.until_ready(1)?;
    has_grown(cluster)
}
