//! Bad input: what breaks a rule is refused by the API server, and what cannot work says why, and
//! works once it is mended. All broken clusters wait side by side, since Kubernetes takes its time.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::operator::NEXT_VERSION;
use crate::operator::cluster::{Cluster, LIMIT, condition};
use crate::operator::etcdctl::Etcdctl;
use crate::operator::stories::{auth, certificates, volumes};
use crate::operator::times::Times;
use crate::provisioner;

/// Where the broken clusters are.
pub const PLACE: &str = "obstacles";
/// A class that nobody has made.
const CLASS: &str = "absent";

/// Parts of a spec, and the words they are refused with.
fn refusals() -> Vec<(Value, &'static str)> {
    vec![
        (
            json!({"storage": {"size": "1Mi"}}),
            "storage.size cannot shrink",
        ),
        (
            json!({"storage": {"class": "another"}}),
            "storage.class cannot be changed",
        ),
        (
            json!({"replicas": 0}),
            "to stop a cluster and keep its data, set hibernated",
        ),
        (json!({"replicas": 10}), "replicas must be between 1 and 9"),
        (
            json!({"server": {"extraArgs": ["--data-dir=/tmp"]}}),
            "extraArgs must not hold a flag that the operator sets",
        ),
        (
            json!({"server": {"heartbeatMillis": 100, "electionMillis": 200}}),
            "server.electionMillis must be at least five times server.heartbeatMillis",
        ),
        (
            json!({"tls": {"source": "Secrets"}}),
            "tls.secrets is given exactly when tls.source is Secrets",
        ),
        (
            json!({"bootstrap": {"restoreFrom": {"backup": "b"}}}),
            "bootstrap tells what a new cluster begins with",
        ),
        (
            json!({"podTemplate": {"labels": {"mainstay.dev/role": "leader"}}}),
            "labels under mainstay.dev/ and app.kubernetes.io/ are the operator's",
        ),
    ]
}

pub fn refused(cluster: &Cluster) -> Result<()> {
    for (spec, words) in refusals() {
        let said = cluster.patch(&json!({"spec": spec})).err();
        let said = said.with_context(|| format!("{spec} was accepted"))?;
        if !format!("{said:#}").contains(words) {
            bail!("{spec} is refused without {words:?}: {said:#}");
        }
    }
    Ok(())
}

/// A broken cluster, the condition it must show, and what mends it.
struct Broken {
    cluster: Cluster,
    spec: Value,
    reason: &'static str,
    words: Vec<&'static str>,
    mend: fn(&Cluster) -> Result<()>,
}

/// A namespace whose quota takes no pod.
const NARROW: &str = "narrow";

fn narrow(kubectl: &Kubectl) -> Result<Cluster> {
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NARROW}});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "narrow", "namespace": NARROW}, "spec": {"hard": {"pods": "0"}}});
    let cluster = Cluster::within(kubectl, NARROW, "narrow");
    kubectl.apply(&[space])?;
    cluster.kubectl.apply(&[quota])?;
    // It counts from the moment that its controller has seen it.
    let words = [
        "get",
        "resourcequota",
        "narrow",
        "-o=jsonpath={.status.hard.pods}",
    ];
    let seen = cluster
        .kubectl
        .until("the quota counts", LIMIT, &words, |text| text == "0");
    seen.map(|_| cluster)
}

fn broken(kubectl: &Kubectl) -> Result<Vec<Broken>> {
    let cluster = |name| Cluster::within(kubectl, PLACE, name);
    Ok(vec![
        Broken {
            cluster: cluster("classless"),
            spec: json!({"storage": {"class": CLASS}}),
            reason: "StorageClassUnknown",
            words: vec![CLASS, "create it"],
            mend: |cluster| cluster.kubectl.apply(&[class()]),
        },
        Broken {
            cluster: cluster("imageless"),
            spec: json!({"version": "0.9.9"}),
            reason: "ImageUnavailable",
            words: vec!["mainstay:0.9.9", "correct spec.image or spec.version"],
            mend: |cluster| cluster.patch(&json!({"spec": {"version": NEXT_VERSION}})),
        },
        Broken {
            cluster: cluster("roomless"),
            spec: json!({"resources": {"requests": {"memory": "10Ti"}}}),
            reason: "Unschedulable",
            words: vec!["no node takes pod roomless-0", "Insufficient memory"],
            mend: |cluster| {
                cluster.patch(&json!({"spec": {"resources": {"requests": {"memory": "16Mi"}}}}))
            },
        },
        Broken {
            cluster: narrow(kubectl)?,
            spec: json!({}),
            reason: "PodsRefused",
            words: vec!["exceeded quota"],
            mend: |cluster| {
                let words = ["delete", "resourcequota", "narrow"];
                cluster.kubectl.run(&words).map(drop)
            },
        },
        Broken {
            cluster: cluster("nameless"),
            spec: json!({"auth": {"rootSecret": "nameless-root"}}),
            reason: "SecretMissing",
            words: vec!["nameless-root", "create it with password"],
            mend: |cluster| cluster.kubectl.apply(&[auth::password(cluster, "secret")]),
        },
    ])
}

fn class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS},
        "provisioner": provisioner::PROVISIONER,
    })
}

/// Each says what is wrong; one is given up, the others become ready when they are mended.
pub fn mended(kubectl: &Kubectl, times: &mut Times) -> Result<()> {
    kubectl
        .apply(&[json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}})])?;
    let broken = broken(kubectl)?;
    let hopeless = Cluster::within(kubectl, PLACE, "hopeless");
    hopeless.apply(3, &json!({"storage": {"class": CLASS}}))?;
    for Broken { cluster, spec, .. } in &broken {
        cluster.apply(1, spec)?;
    }
    for one in &broken {
        one.cluster.until_told("Degraded", one.reason, &one.words)?;
        if condition(&one.cluster.get()?, "Ready") != Some("False") {
            bail!("{} is ready", one.cluster.name);
        }
    }
    // One that never was ready goes like any other.
    hopeless.delete()?;
    for one in &broken {
        (one.mend)(&one.cluster)?;
    }
    for one in &broken {
        times.note(
            &format!("{} mended to 1/1 ready", one.reason),
            one.cluster.until_ready(1)?,
        );
    }
    let [classless, others @ ..] = broken.as_slice() else {
        bail!("no cluster was broken");
    };
    volumes::refuse_growth(&classless.cluster, CLASS)?;
    classless.cluster.delete()?;
    others.iter().try_for_each(|one| one.cluster.delete())
}

/// A cluster that is given its certificates and is without them at first; then with a password that
/// is missing; then with both, and both may be exchanged.
pub fn secrets(kubectl: &Kubectl, times: &mut Times) -> Result<()> {
    let cluster = Cluster::within(kubectl, PLACE, "given");
    let tls = certificates::given(&cluster);
    let root = format!("{}-root", cluster.name);
    cluster.apply(3, &json!({"tls": tls, "auth": {"rootSecret": root}}))?;
    let words = ["given-server", "create it with tls.crt, tls.key, ca.crt"];
    cluster.until_told("TLSReady", "SecretMissing", &words)?;
    let (old, new) = (
        certificates::Issuer::new("old")?,
        certificates::Issuer::new("new")?,
    );
    cluster.kubectl.apply(&old.secrets(&cluster, 30, &[])?)?;
    let words = ["given-root", "create it with password"];
    cluster.until_told("Degraded", "SecretMissing", &words)?;
    cluster
        .kubectl
        .apply(&[auth::password(&cluster, "first")])?;
    times.note("given Secrets to 3/3 ready", cluster.until_ready(3)?);
    auth::enforced(&cluster, "given-nobody", "given-operator", "first")?;
    certificates::exchange(&cluster, &old, &new, times)?;
    auth::changed(&cluster, "given-nobody", "first")?;
    cluster.delete()
}

/// A store that is full says so, and takes writes again once it may hold more.
pub fn full(kubectl: &Kubectl, times: &mut Times) -> Result<()> {
    let cluster = Cluster::within(kubectl, PLACE, "full");
    cluster.apply(3, &json!({"quota": "256Ki"}))?;
    cluster.until_ready(3)?;
    let etcdctl = Etcdctl::open(&cluster)?;
    let large = "x".repeat(60_000);
    for turn in 0..4 {
        etcdctl.put(&format!("large-{turn}"), &large)?;
    }
    etcdctl.refused(&["put", "one-more", &large], "database space exceeded")?;
    let words = ["NOSPACE", "raise spec.quota"];
    cluster.until_told("Degraded", "SpaceExhausted", &words)?;
    cluster.patch(&json!({"spec": {"quota": "16Mi"}}))?;
    let since = Instant::now();
    // For a while some members have the old quota and some the new one.
    let mut written = 0;
    xtask::process::wait_until("all members have the new quota", LIMIT, || {
        let quick = [
            "--dial-timeout=1s",
            "--command-timeout=2s",
            "put",
            "meanwhile",
        ];
        let put = etcdctl.run(&[&quick[..], &[&written.to_string()]].concat());
        written += u32::from(put.is_ok());
        let seen = cluster.get()?;
        let is_current = seen["status"]["observedGeneration"] == seen["metadata"]["generation"];
        Ok(is_current && condition(&seen, "Ready") == Some("True"))
    })?;
    times.note("quota raised to 3/3 ready", since.elapsed());
    times.say(format!("writes answered meanwhile: {written}"));
    etcdctl.put("one-more", &large)?;
    alike(&cluster, 3)?;
    cluster.delete()
}

/// All members hold the same at one revision.
fn alike(cluster: &Cluster, members: u32) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    let found: Value = serde_json::from_str(&etcdctl.run(&["get", "one-more", "-w=json"])?)?;
    let revision = format!("--rev={}", found["header"]["revision"]);
    let mut hashes = Vec::new();
    for ordinal in 0..members {
        let etcdctl = Etcdctl::of_pod(cluster, &cluster.pod(ordinal))?;
        let told = etcdctl.run(&["endpoint", "hashkv", &revision, "-w=json"])?;
        let told: Value = serde_json::from_str(&told)?;
        hashes.push(told[0]["HashKV"]["hash"].clone());
    }
    let first = hashes.first().filter(|hash| !hash.is_null());
    match first.is_some_and(|first| hashes.iter().all(|hash| hash == first)) {
        true => Ok(()),
        false => bail!("the members of {} differ: {hashes:?}", cluster.name),
    }
}
