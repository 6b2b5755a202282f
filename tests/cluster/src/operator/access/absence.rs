//! What becomes of declared keys while somebody is away: the operator, or the leader of the store.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::keys::{set, until_key};
use crate::kubectl::Kubectl;
use crate::operator::cluster::{Cluster, LIMIT};
use crate::operator::etcdctl::Etcdctl;
use crate::operator::install;
use crate::operator::times::Times;
use xtask::process::wait_until;

fn operator(kubectl: &Kubectl, replicas: u8) -> Result<()> {
    let count = format!("--replicas={replicas}");
    let words = [
        "scale",
        "deployment",
        "mainstay-operator",
        "-n",
        install::NAMESPACE,
        &count,
    ];
    kubectl.run(&words)?;
    let path = "-o=jsonpath={.status.replicas}/{.status.readyReplicas}";
    let words = [
        "get",
        "deployment",
        "mainstay-operator",
        "-n",
        install::NAMESPACE,
        path,
    ];
    let there = match replicas {
        0 => "/".to_owned(),
        count => format!("{count}/{count}"),
    };
    kubectl.until(
        "the operator is there as asked for",
        LIMIT,
        &words,
        |text| text == there,
    )?;
    if replicas > 0 {
        return Ok(());
    }
    // A pod that is ending is counted no longer, and still works.
    let words = ["get", "pods", "-n", install::NAMESPACE, "-o=name"];
    let gone = |text: &str| !text.contains("mainstay-operator");
    kubectl.until("the operator's pods are gone", LIMIT, &words, gone)?;
    Ok(())
}

/// A key changed, a key deleted, and a key that leaves the set meanwhile.
pub fn away(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    let kept = set(cluster, "away");
    let spec = |keys: &[&str]| {
        let keys = keys
            .iter()
            .map(|key| json!({"key": key, "value": "declared"}));
        json!({"prefix": "away/", "keys": keys.collect::<Vec<_>>()})
    };
    kept.apply(&spec(&["changed", "deleted", "dropped"]))?;
    kept.until_good()?;
    operator(&cluster.kubectl, 0)?;
    etcdctl.put("away/changed", "by another")?;
    etcdctl.run(&["del", "away/deleted"])?;
    kept.apply(&spec(&["changed", "deleted"]))?;
    etcdctl.expect("away/dropped", "declared")?;
    let since = Instant::now();
    operator(&cluster.kubectl, 1)?;
    until_key(&etcdctl, "away/changed", Some("declared"))?;
    until_key(&etcdctl, "away/deleted", Some("declared"))?;
    until_key(&etcdctl, "away/dropped", None)?;
    times.note(
        "an operator that comes back: started to put right",
        since.elapsed(),
    );
    kept.until_good()?;
    // The watch goes on as well.
    etcdctl.put("away/changed", "once more")?;
    until_key(&etcdctl, "away/changed", Some("declared"))?;
    kept.delete()
}

pub fn leader(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    let kept = set(cluster, "led");
    kept.apply(&json!({"prefix": "led/", "keys": [{"key": "a", "value": "declared"}]}))?;
    kept.until_good()?;
    let leader = cluster.leader()?;
    let killed = cluster.kill(&leader)?;
    let since = Instant::now();
    let quick = [
        "--dial-timeout=1s",
        "--command-timeout=2s",
        "put",
        "led/a",
        "by another",
    ];
    wait_until("a write is answered again", LIMIT, || {
        Ok(etcdctl.run(&quick).is_ok())
    })?;
    until_key(&etcdctl, "led/a", Some("declared"))?;
    times.note(
        "leader killed: to another's change put right",
        since.elapsed(),
    );
    cluster.until_back(&leader, &killed, 3)?;
    kept.until_good()?;
    kept.delete()
}
