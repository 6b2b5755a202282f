//! The operator that goes and comes back, for all namespaces or for one.

use anyhow::{Result, bail};
use serde_json::json;

use crate::operator::cluster::{Cluster, condition, same};
use crate::operator::install::{NAMESPACE, Release};
use crate::operator::stories::deletion;
use crate::operator::times::Times;

/// The namespace that the operator looks after alone.
const TEAM: &str = "team";

/// A namespace in which only pods that keep the strictest rules are admitted.
pub fn restricted(name: &str) -> serde_json::Value {
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": labels}})
}

/// Uninstalled, its clusters go on. It comes back for one namespace, and does there what it can with
/// the rights of that namespace alone; then for all, and finds everything as it was.
pub fn away(cluster: &Cluster, release: &Release<'_>, times: &mut Times) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let unheard = Cluster::new(kubectl, "unheard");
    unheard.apply(1, &json!({}))?;
    unheard.until_ready(1)?;
    let before = cluster.pods()?;
    release.uninstall()?;
    deletion::begin_unheard(&unheard)?;
    kubectl.apply(&[restricted(TEAM)])?;
    release.change("install", &[&format!("--set=watchNamespaces={{{TEAM}}}")])?;
    release.wait_ready()?;
    rights(cluster)?;
    let team = Cluster::within(kubectl, TEAM, "db");
    team.apply(1, &json!({}))?;
    times.note("operator of one namespace: 1/1 ready", team.until_ready(1)?);
    if condition(&unheard.get()?, "Ready") != Some("True") {
        bail!("a cluster of another namespace was touched");
    }
    team.delete()?;
    release.change("upgrade", &[])?;
    release.wait_ready()?;
    deletion::end_unheard(&unheard)?;
    cluster.until_ready(3)?;
    same(&before, &cluster.pods()?)
}

/// By the word of the API server: in its namespace it may, elsewhere it may not.
fn rights(cluster: &Cluster) -> Result<()> {
    let account = format!("--as=system:serviceaccount:{NAMESPACE}:mainstay-operator");
    for (namespace, answer) in [(TEAM, "yes"), ("default", "no")] {
        for what in [["list", "secrets"], ["delete", "pods"], ["list", "msc"]] {
            let kubectl = cluster.kubectl.within(namespace);
            let [verb, kind] = what;
            let mut command = kubectl.command(&["auth", "can-i", verb, kind, &account]);
            // It fails where the answer is no.
            let said = command.stdin(std::process::Stdio::null()).output()?;
            let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
            if said != answer {
                bail!("whether it may {verb} {kind} in {namespace}: {said}");
            }
        }
    }
    Ok(())
}
