//! More and fewer members, one that is killed, one that loses its disk, pods that are renewed.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::operator::NEXT_VERSION;
use crate::operator::cluster::{Cluster, LIMIT, condition};
use crate::operator::times::Times;

pub fn one_leader(cluster: &Cluster) -> Result<()> {
    let leader = cluster.leader()?;
    let told = cluster.until("the status names the leader", |seen| {
        seen["status"]["leader"] == *leader
    });
    told.map(drop)
}

pub fn scale(cluster: &Cluster, members: u32, times: &mut Times, name: &str) -> Result<()> {
    let replicas = members.to_string();
    // By the subresource, as an autoscaler or a person does.
    let words = ["scale", "msc", cluster.name, "--replicas", &replicas];
    cluster.kubectl.run(&words)?;
    times.note(name, cluster.until_ready(members)?);
    // Members that left take their volumes along: `whenScaled` is Delete unless told otherwise.
    let gone = cluster.pod(members);
    let claim = format!("data-{gone}");
    let path = "{.metadata.name}";
    let left = ["get", "pods,pvc", "--ignore-not-found", "-o=name"];
    cluster
        .kubectl
        .until("what left is gone", LIMIT, &left, |text| {
            !text
                .lines()
                .any(|line| line.ends_with(&gone) || line.ends_with(&claim))
        })?;
    let pod = cluster.field("pod", &cluster.pod(members - 1), path)?;
    match pod.is_empty() {
        false => Ok(()),
        true => bail!("{} is not there", cluster.pod(members - 1)),
    }
}

pub fn kill_leader(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let leader = cluster.leader()?;
    let since = Instant::now();
    let killed = cluster.kill(&leader)?;
    let another = |text: &str| !text.is_empty() && text != leader;
    cluster.until_led("another pod is labelled leader", another)?;
    times.note(
        "leader's pod killed to the next one labelled",
        since.elapsed(),
    );
    cluster.until_back(&leader, &killed, 3)?;
    times.note("leader's pod killed to 3/3 ready", since.elapsed());
    Ok(())
}

/// A follower loses pod and disk; another member takes its place, under a new id.
pub fn lose_volume(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let leader = cluster.leader()?;
    let pod = (0..3)
        .map(|ordinal| cluster.pod(ordinal))
        .find(|pod| *pod != leader);
    let pod = pod.context("all lead")?;
    let before = member_id(&cluster.get()?, &pod).context("a member without an id")?;
    let claim = format!("data-{pod}");
    let since = Instant::now();
    cluster
        .kubectl
        .run(&["delete", "pvc", &claim, "--wait=false"])?;
    cluster.kill(&pod)?;
    cluster.until("another member has taken its place", |seen| {
        let now = member_id(seen, &pod);
        now.is_some_and(|now| now != before) && seen["status"]["ready"] == "3/3"
    })?;
    cluster.until_ready(3)?;
    times.note("volume lost to 3/3 ready", since.elapsed());
    Ok(())
}

fn member_id(seen: &Value, pod: &str) -> Option<String> {
    let members = seen["status"]["members"].as_array()?;
    let member = members.iter().find(|member| member["name"] == *pod)?;
    member["id"].as_str().map(str::to_owned)
}

pub fn roll(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let leader = cluster.leader()?;
    let since = Instant::now();
    cluster.patch(&json!({"spec": {"version": NEXT_VERSION}}))?;
    cluster.until_ready(3)?;
    times.note("roll of three members", since.elapsed());
    let mut started = Vec::new();
    for ordinal in 0..3 {
        let pod = cluster.pod(ordinal);
        let image = cluster.field("pod", &pod, "{.spec.containers[0].image}")?;
        if !image.ends_with(NEXT_VERSION) {
            bail!("{pod} runs {image}");
        }
        let at = cluster.field("pod", &pod, "{.metadata.creationTimestamp}")?;
        started.push((at, pod));
    }
    started.sort();
    // The members that did not lead go first.
    match started.last() {
        Some((_, last)) if *last == leader => Ok(()),
        last => bail!("{leader} led and should have gone last, not {last:?}"),
    }
}

pub fn hibernate(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let before = cluster.get()?["status"]["clusterID"].clone();
    cluster.patch(&json!({"spec": {"hibernated": true}}))?;
    cluster.until("it hibernates", |seen| {
        seen["status"]["phase"] == "Hibernated"
    })?;
    if !cluster.pods()?.is_empty() {
        bail!("pods are left");
    }
    cluster.patch(&json!({"spec": {"hibernated": false}}))?;
    times.note("wake", cluster.until_ready(3)?);
    match cluster.get()?["status"]["clusterID"] == before {
        true => Ok(()),
        false => bail!("another cluster has woken"),
    }
}

/// The roll stops at the first pod that does not come up, says why, and goes on when it can.
pub fn bad_image(cluster: &Cluster) -> Result<()> {
    cluster.patch(&json!({"spec": {"version": "0.1.99"}}))?;
    cluster.until("the status tells of the image", |seen| {
        let conditions = seen["status"]["conditions"].to_string();
        condition(seen, "Ready") == Some("False") && conditions.contains("image")
    })?;
    let words = [
        "get",
        "pods",
        "-o=jsonpath={range .items[*]}{.spec.containers[0].image}{\"\\n\"}{end}",
    ];
    let images = cluster.kubectl.run(&words)?;
    if images
        .lines()
        .filter(|image| image.ends_with("0.1.99"))
        .count()
        != 1
    {
        bail!("one pod tries the image, no more: {images}");
    }
    cluster.patch(&json!({"spec": {"version": NEXT_VERSION}}))?;
    cluster.until_ready(3).map(drop)
}
