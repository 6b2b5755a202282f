//! The stories, in the order in which they are told: each begins where the one before has ended.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::NEXT_VERSION;
use super::cluster::{Cluster, LIMIT, condition};
use super::install::Release;
use super::load::Load;
use super::times::Times;
use xtask::tally::Tally;

/// What clients may notice of anything the operator does: far above what was ever measured, and
/// below what people would call an outage. A retry covers it.
const GAP_LIMIT: Duration = Duration::from_secs(20);

/// Create, scale, leader killed, roll.
pub fn core(tally: &mut Tally, cluster: &Cluster, times: &mut Times) {
    let created = tally.case("create three members", || {
        cluster.apply(3, &json!({}))?;
        times.note("create: declared to 3/3 ready", cluster.until_ready(3)?);
        one_leader(cluster)
    });
    if !created {
        return;
    }
    let mut load = None;
    tally.case("clients write through the Service", || {
        let started = Load::start(cluster)?;
        started.until_written(LIMIT)?;
        load = Some(started);
        Ok(())
    });
    let Some(mut load) = load else { return };
    for (name, members) in [
        ("scale 3 to 5", 5),
        ("scale 5 to 3", 3),
        ("scale 3 to 1", 1),
        ("scale 1 to 3", 3),
    ] {
        tally.case(name, || {
            load.during(name, || scale(cluster, members, times, name))
        });
    }
    tally.case("leader's pod killed", || {
        let killed = load.during("leader's pod killed", || kill_leader(cluster, times));
        killed.and_then(|()| load.until_written(LIMIT).map(drop))
    });
    tally.case("volume lost", || {
        load.during("volume lost", || lose_volume(cluster, times))
    });
    tally.case("roll to another image", || {
        load.during("roll of three members", || roll(cluster, times))
    });
    tally.case("certificates rotated", || {
        load.during("new leaf certificates", || {
            rotate(cluster, "rotate-certificates", times)
        })
    });
    tally.case("certificate authorities rotated", || {
        load.during("new authorities", || rotate(cluster, "rotate-ca", times))
    });
    tally.case(
        "what clients saw is linearizable, and nothing was out for long",
        || {
            for verdict in load.finish()? {
                times.clients(verdict.story, &verdict);
                if verdict.longest_gap > GAP_LIMIT && verdict.story != "scale 3 to 1" {
                    bail!(
                        "no write was answered for {:?}: {verdict:?}",
                        verdict.longest_gap
                    );
                }
            }
            Ok(())
        },
    );
}

/// Hibernate, an operator that is away, bad input.
pub fn further(tally: &mut Tally, cluster: &Cluster, release: &Release<'_>, times: &mut Times) {
    tally.case("hibernate and wake", || hibernate(cluster, times));
    tally.case("the operator goes and comes back", || {
        release.uninstall()?;
        let before = pods(cluster)?;
        release.install()?;
        release.wait_ready()?;
        cluster.until_ready(3)?;
        same(&before, &pods(cluster)?)
    });
    tally.case("a resource that breaks a rule is refused", || {
        let refused = cluster.patch(&json!({"spec": {"storage": {"size": "1Mi"}}}));
        let said = refused
            .err()
            .context("a volume that shrinks was accepted")?;
        match format!("{said:#}").contains("storage.size cannot shrink") {
            true => Ok(()),
            false => bail!("it says {said:#}"),
        }
    });
    tally.case("an image that is not there is told and mended", || {
        bad_image(cluster)
    });
}

fn one_leader(cluster: &Cluster) -> Result<()> {
    let leader = cluster.leader()?;
    let told = cluster.until("the status names the leader", |seen| {
        seen["status"]["leader"] == *leader
    });
    told.map(drop)
}

fn scale(cluster: &Cluster, members: u32, times: &mut Times, name: &str) -> Result<()> {
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

fn kill_leader(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let leader = cluster.leader()?;
    let since = Instant::now();
    let words = ["delete", "pod", &leader, "--grace-period=0", "--force"];
    cluster.kubectl.run(&words)?;
    let selector = format!(
        "app.kubernetes.io/instance={},mainstay.dev/role=leader",
        cluster.name
    );
    let words = [
        "get",
        "pods",
        "-l",
        &selector,
        "-o=jsonpath={.items[*].metadata.name}",
    ];
    cluster
        .kubectl
        .until("another pod is labelled leader", LIMIT, &words, |text| {
            !text.is_empty() && text != leader
        })?;
    times.note(
        "leader's pod killed to the next one labelled",
        since.elapsed(),
    );
    cluster.until_ready(3)?;
    times.note("leader's pod killed to 3/3 ready", since.elapsed());
    Ok(())
}

/// A follower loses pod and disk; another member takes its place, under a new id.
fn lose_volume(cluster: &Cluster, times: &mut Times) -> Result<()> {
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
    cluster
        .kubectl
        .run(&["delete", "pod", &pod, "--grace-period=0", "--force"])?;
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

fn roll(cluster: &Cluster, times: &mut Times) -> Result<()> {
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

/// Asks for new certificates by an annotation; no pod restarts for it.
fn rotate(cluster: &Cluster, what: &str, times: &mut Times) -> Result<()> {
    let before = pods(cluster)?;
    let old = cluster.secret(&format!("{}-server-tls", cluster.name), "tls.crt")?;
    let since = Instant::now();
    let asked = format!("mainstay.dev/{what}=suite");
    cluster
        .kubectl
        .run(&["annotate", "msc", cluster.name, &asked])?;
    xtask::process::wait_until("the certificate is another one", LIMIT, || {
        let now = cluster.secret(&format!("{}-server-tls", cluster.name), "tls.crt")?;
        Ok(now != old)
    })?;
    cluster.until_ready(3)?;
    times.note(what, since.elapsed());
    same(&before, &pods(cluster)?)
}

fn hibernate(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let before = cluster.get()?["status"]["clusterID"].clone();
    cluster.patch(&json!({"spec": {"hibernated": true}}))?;
    cluster.until("it hibernates", |seen| {
        seen["status"]["phase"] == "Hibernated"
    })?;
    if !pods(cluster)?.is_empty() {
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
fn bad_image(cluster: &Cluster) -> Result<()> {
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

/// The pods with their ids, sorted.
fn pods(cluster: &Cluster) -> Result<Vec<String>> {
    let selector = format!("app.kubernetes.io/instance={}", cluster.name);
    let path = "-o=jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
    let text = cluster
        .kubectl
        .run(&["get", "pods", "-l", &selector, path])?;
    let mut pods: Vec<String> = text.lines().map(str::to_owned).collect();
    pods.sort();
    Ok(pods)
}

fn same(before: &[String], now: &[String]) -> Result<()> {
    match before == now {
        true => Ok(()),
        false => bail!("pods were {before:?} and are {now:?}"),
    }
}
