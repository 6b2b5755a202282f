//! A quorum that is lost: with disks alive nothing is changed and it comes back by itself, without
//! them a person may have a cluster made out of the survivor.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::NAME;
use crate::operator::cluster::{Cluster, LIMIT, condition};
use crate::operator::etcdctl::Etcdctl;
use crate::operator::times::Times;

/// How long it is looked on: several passes of the operator.
const WATCHED: Duration = Duration::from_secs(10);

/// What must not change while nobody can say who the members are.
#[derive(Debug, PartialEq)]
struct Lasting {
    record: Value,
    workload: (Value, Value),
    volumes: Vec<(String, String)>,
}

impl Lasting {
    fn look(cluster: &Cluster) -> Result<Self> {
        let members = format!("{}-members", cluster.name);
        let map = cluster.kubectl.json(&["get", "configmap", &members])?;
        let workload = ["get", "statefulset", cluster.name];
        let workload = cluster.kubectl.json(&workload)?;
        let claims = ["get", "pvc", "-l", &cluster.selector()];
        let claims = cluster.kubectl.json(&claims)?;
        let claims = claims["items"].as_array().cloned().unwrap_or_default();
        let volumes = claims.iter().map(|claim| {
            let id = claim["metadata"]["uid"].to_string();
            (id, claim["spec"].to_string())
        });
        Ok(Self {
            record: map["data"].clone(),
            workload: (
                workload["metadata"]["uid"].clone(),
                workload["spec"].clone(),
            ),
            volumes: volumes.collect(),
        })
    }
}

/// The pods of all but the leader, or all but a follower.
fn others(cluster: &Cluster, kept: &str) -> Vec<String> {
    let pods = (0..3).map(|ordinal| cluster.pod(ordinal));
    pods.filter(|pod| pod != kept).collect()
}

fn kill(cluster: &Cluster, pods: &[String]) -> Result<()> {
    let mut words = vec!["delete", "pod", "--grace-period=0", "--force"];
    words.extend(pods.iter().map(String::as_str));
    cluster.kubectl.run(&words).map(drop)
}

/// Two of three pods find no node; wishes meanwhile wait, and all is well once the node is back.
pub fn pods_down(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    etcdctl.put("kept", "through the loss of pods")?;
    cluster.kubectl.run(&["cordon", NAME])?;
    let before = Lasting::look(cluster)?;
    let leader = cluster.leader()?;
    kill(cluster, &others(cluster, &leader))?;
    let since = Instant::now();
    let words = ["2 are needed", "Nothing is changed"];
    cluster.until_told("QuorumLost", "PodsDown", &words)?;
    times.note("two of three pods killed to QuorumLost", since.elapsed());
    cluster.patch(&json!({"spec": {"replicas": 5, "storage": {"size": "1Gi"}}}))?;
    let since = Instant::now();
    while since.elapsed() < WATCHED {
        let now = Lasting::look(cluster)?;
        if now != before {
            bail!("it was {before:?} and is {now:?}");
        }
        let seen = cluster.get()?;
        if condition(&seen, "QuorumLost") != Some("True") {
            bail!("QuorumLost is {:?}", condition(&seen, "QuorumLost"));
        }
    }
    cluster.patch(&json!({"spec": {"replicas": 3}}))?;
    cluster.kubectl.run(&["uncordon", NAME])?;
    times.note("pods back to 3/3 ready", cluster.until_ready(3)?);
    etcdctl.expect("kept", "through the loss of pods")?;
    etcdctl.put("kept", "and written again")
}

/// Two of three volumes are lost for good. Nothing happens until somebody asks; then the survivor
/// makes a cluster with its data, and it grows to three again.
pub fn volumes_lost(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    etcdctl.put("kept", "by the survivor")?;
    cluster.until_ready(3)?;
    let former = cluster.get()?["status"].clone();
    let leader = cluster.leader()?;
    let survivor = others(cluster, &leader).pop().context("all lead")?;
    let lost = others(cluster, &survivor);
    let claims: Vec<String> = lost.iter().map(|pod| format!("data-{pod}")).collect();
    let mut words = vec!["delete", "pvc", "--wait=false"];
    words.extend(claims.iter().map(String::as_str));
    cluster.kubectl.run(&words)?;
    kill(cluster, &lost)?;
    let wish = format!(
        "mainstay.dev/recover-quorum: \\\"{}\\\"",
        former["recoveries"]
    );
    let words = [lost.join(", "), "1 of 3 voters".to_owned(), wish];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    cluster.until_told("QuorumLost", "VolumesLost", &words)?;
    let since = Instant::now();
    cluster.annotate("recover-quorum", &former["recoveries"].to_string())?;
    let written = xtask::process::wait_until("a write is answered", LIMIT, || {
        let quick = ["--dial-timeout=1s", "--command-timeout=2s"];
        let words = [&quick[..], &["put", "after", "the recovery"]].concat();
        Ok(etcdctl.run(&words).is_ok())
    })?;
    times.note("recovery asked for to writable", written);
    cluster.until_ready(3)?;
    times.note("recovery asked for to 3/3 ready", since.elapsed());
    etcdctl.expect("kept", "by the survivor")?;
    let status = cluster.get()?["status"].clone();
    // It is the former cluster to its clients; what was asked for once is not done again.
    match status["recoveries"] == former["recoveries"] {
        true => bail!("no recovery was counted: {status}"),
        false => Ok(()),
    }
}
