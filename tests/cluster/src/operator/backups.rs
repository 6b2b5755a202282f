//! Backups: taken to a volume and to a bucket, by hand and by a schedule, kept and deleted as asked
//! for, and new clusters that begin with them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mainstay_pki::Authority;
use serde_json::{Value, json};

use super::cluster::{Cluster, LIMIT, NAMESPACE, condition};
use super::content::{self, Content};
use super::store;
use super::times::Times;
use crate::kubectl::Kubectl;
use xtask::tally::Tally;

/// The claim that backups lie on.
const CLAIM: &str = "backups";
const BY_HAND: &str = "by-hand";
const TO_BUCKET: &str = "to-bucket";
const SCHEDULE: &str = "often";
const KEPT: usize = 2;
/// Three backups by a schedule that has one every minute, each of which may take its time.
const SCHEDULE_LIMIT: Duration = Duration::from_secs(420);

/// A cluster that serves and is not written to meanwhile, and where the node has its volumes.
pub struct Scene<'a> {
    pub cluster: &'a Cluster,
    pub volumes: PathBuf,
}

/// Everything about backups; nothing of it is left afterwards.
pub fn tell(tally: &mut Tally, scene: &Scene<'_>, times: &mut Times) {
    let kubectl = &scene.cluster.kubectl;
    let mut known = None;
    tally.case("a schedule begins", || {
        content::fill(scene.cluster)?;
        known = Some(Content::of(scene.cluster)?);
        kubectl.apply(&[store::claim(CLAIM), schedule()])
    });
    let Some(known) = known else { return };
    tally.case("a cluster waits for its backup, and begins with it", || {
        from_volume(scene, &known, times)
    });
    tally.case("a snapshot that is not there is told", || {
        misplaced(kubectl)
    });
    tally.case("a cluster begins with what is in a bucket", || {
        from_bucket(scene, &known, times)
    });
    tally.case("files go or stay as asked for", || deleted(scene));
    tally.case("a schedule keeps as many as asked for", || scheduled(scene));
    tally.case("nothing of the backups is left", || {
        kubectl.run(&["delete", "mbs,mbk", "--all", "--timeout=120s"])?;
        kubectl.run(&["delete", "pvc", CLAIM, "--timeout=60s"])?;
        store::stop(kubectl)
    });
}

/// One more cluster on the node.
fn named(kubectl: &Kubectl, name: &'static str) -> Cluster {
    Cluster::new(kubectl, name)
}

fn on_volume(folder: &str) -> Value {
    json!({"volume": {"claimName": CLAIM, "path": folder}})
}

fn schedule() -> Value {
    json!({
        "apiVersion": "mainstay.dev/v1alpha1", "kind": "MainstayBackupSchedule",
        "metadata": {"name": SCHEDULE, "namespace": NAMESPACE},
        "spec": {
            "cluster": "db", "schedule": "* * * * *", "keep": KEPT,
            "destination": on_volume(SCHEDULE),
        },
    })
}

/// Takes a backup and waits until it is verified; its status.
fn take(cluster: &Cluster, name: &str, to: &Value, when_deleted: &str) -> Result<Value> {
    cluster.kubectl.apply(&[json!({
        "apiVersion": "mainstay.dev/v1alpha1", "kind": "MainstayBackup",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"cluster": cluster.name, "destination": to, "whenDeleted": when_deleted},
    })])?;
    complete(&cluster.kubectl, name)
}

fn complete(kubectl: &Kubectl, name: &str) -> Result<Value> {
    let words = ["get", "mbk", name, "-o=jsonpath={.status.phase}"];
    let over = |phase: &str| phase == "Complete" || phase == "Failed";
    let waited = kubectl.until("the backup is complete", LIMIT, &words, over);
    let status = kubectl.json(&["get", "mbk", name])?["status"].clone();
    match waited {
        Ok(phase) if phase == "Complete" => Ok(status),
        _ => {
            let words = [
                "describe",
                "pods,jobs",
                "-l",
                "app.kubernetes.io/name=mainstay-backup",
            ];
            bail!("{status:#}\n{}", kubectl.run(&words).unwrap_or_default())
        }
    }
}

fn fits(status: &Value, known: &Content) -> Result<()> {
    let keys = i64::try_from(known.keys.len())?;
    ensure!(
        status["keys"] == keys && status["revision"] == known.revision,
        "{keys} keys at revision {} were backed up: {status:#}",
        known.revision
    );
    Ok(())
}

/// A cluster that is to begin with a backup which is not there yet.
fn from_volume(scene: &Scene<'_>, known: &Content, times: &mut Times) -> Result<()> {
    let cluster = named(&scene.cluster.kubectl, "from-volume");
    let source = json!({"bootstrap": {"restoreFrom": {"backup": BY_HAND}}});
    cluster.apply(3, &source)?;
    stalls(
        &cluster,
        "BackupMissing",
        &format!("there is no MainstayBackup {BY_HAND}"),
    )?;
    nothing_formed(&cluster)?;
    let since = Instant::now();
    let status = take(scene.cluster, BY_HAND, &on_volume("by-hand"), "Retain")?;
    times.note("backup to a volume, verified", since.elapsed());
    fits(&status, known)?;
    let since = Instant::now();
    cluster.until_ready(3)?;
    times.note("restore from a volume to 3/3 ready", since.elapsed());
    known.compare(&Content::of(&cluster)?)?;
    content::is_compacted(&cluster, known.revision)?;
    content::put(&cluster, "goes on", "as a cluster of its own")?;
    // Later lives of its pods need neither the backup nor the place where it lay.
    let path = "{.spec.template.spec}";
    let template = cluster.field("statefulset", cluster.name, path)?;
    ensure!(
        !template.contains("initContainers") && !template.contains(CLAIM),
        "its pods still know of the backup: {template}"
    );
    for ordinal in 0..3 {
        let pod = cluster.field("pod", &cluster.pod(ordinal), "{.spec}")?;
        ensure!(
            !pod.contains(CLAIM),
            "{} mounts the backup",
            cluster.pod(ordinal)
        );
    }
    let first = files(scene, &format!("data-{}", cluster.pod(0)), "")?;
    ensure!(
        first == ["data"],
        "the first volume holds more than its data: {first:?}"
    );
    let now = Content::of(scene.cluster)?;
    ensure!(
        now == *known,
        "the cluster that was backed up is another one now"
    );
    cluster.delete()
}

/// What waits for its backup says so, and what to do.
fn stalls(cluster: &Cluster, reason: &str, words: &str) -> Result<()> {
    let told = cluster.until(&format!("{reason} is told"), |seen| {
        let conditions = seen["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|known| {
            let message = known["message"].as_str().unwrap_or_default();
            known["reason"] == *reason && message.contains(words)
        }) && condition(seen, "Ready") == Some("False")
    });
    told.map(drop)
}

fn nothing_formed(cluster: &Cluster) -> Result<()> {
    let selector = format!("app.kubernetes.io/instance={}", cluster.name);
    let kinds = "pods,persistentvolumeclaims,statefulsets";
    let made = cluster
        .kubectl
        .run(&["get", kinds, "-l", &selector, "-o=name"])?;
    match made.trim().is_empty() {
        true => Ok(()),
        false => bail!("it was formed without its backup: {made}"),
    }
}

/// The place is there and the file is not: the pod that was to bring it says so.
fn misplaced(kubectl: &Kubectl) -> Result<()> {
    let cluster = named(kubectl, "from-nowhere");
    let from = json!({"at": on_volume("by-hand"), "path": "nowhere.db"});
    cluster.apply(1, &json!({"bootstrap": {"restoreFrom": {"from": from}}}))?;
    stalls(&cluster, "RestoreFailed", "nowhere.db")?;
    cluster.delete()
}

fn from_bucket(scene: &Scene<'_>, known: &Content, times: &mut Times) -> Result<()> {
    let kubectl = &scene.cluster.kubectl;
    let authority = Authority::new("CA of the store")?;
    store::start(kubectl, &authority)?;
    kubectl.apply(&[store::secret(&authority)])?;
    let since = Instant::now();
    let status = take(scene.cluster, TO_BUCKET, &store::destination(), "Delete")?;
    times.note("backup to a bucket, verified", since.elapsed());
    fits(&status, known)?;
    // It is restored by where it lies; first nobody can open the bucket.
    kubectl.run(&["delete", "secret", store::SECRET])?;
    let cluster = named(kubectl, "from-bucket");
    let from = json!({"at": store::destination(), "path": status["path"]});
    cluster.apply(1, &json!({"bootstrap": {"restoreFrom": {"from": from}}}))?;
    stalls(&cluster, "BackupMissing", store::SECRET)?;
    nothing_formed(&cluster)?;
    kubectl.apply(&[store::secret(&authority)])?;
    let since = Instant::now();
    cluster.until_ready(1)?;
    times.note("restore from a bucket to 1/1 ready", since.elapsed());
    known.compare(&Content::of(&cluster)?)?;
    cluster.delete()
}

/// The files below a folder of a claim's volume, sorted.
fn files(scene: &Scene<'_>, claim: &str, folder: &str) -> Result<Vec<String>> {
    let volume = scene.cluster.field("pvc", claim, "{.spec.volumeName}")?;
    let folder = scene.volumes.join(volume).join(folder);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(folder.display().to_string()),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

/// `Retain` leaves the file, `Delete` takes it along, in a volume and in a bucket.
fn deleted(scene: &Scene<'_>) -> Result<()> {
    let kubectl = &scene.cluster.kubectl;
    let folder = "by-hand";
    let kept = files(scene, CLAIM, folder)?;
    ensure!(kept.len() == 1, "one backup was taken by hand: {kept:?}");
    take(scene.cluster, "passing", &on_volume(folder), "Delete")?;
    let both = files(scene, CLAIM, folder)?;
    ensure!(both.len() == 2, "a second one was taken: {both:?}");
    let stored = files(scene, store::CLAIM, store::PREFIX)?;
    ensure!(stored.len() == 1, "one file is in the bucket: {stored:?}");
    let names = [
        "delete",
        "mbk",
        "passing",
        BY_HAND,
        TO_BUCKET,
        "--timeout=120s",
    ];
    kubectl.run(&names)?;
    let left = files(scene, CLAIM, folder)?;
    ensure!(left == kept, "{kept:?} was to stay, and there is {left:?}");
    let stored = files(scene, store::CLAIM, store::PREFIX)?;
    ensure!(stored.is_empty(), "still in the bucket: {stored:?}");
    Ok(())
}

/// A third one is made, and then there are two, with their files and no others.
fn scheduled(scene: &Scene<'_>) -> Result<()> {
    let kubectl = &scene.cluster.kubectl;
    let selector = format!("mainstay.dev/schedule={SCHEDULE}");
    let words = [
        "get",
        "mbk",
        "-l",
        &selector,
        "-o=jsonpath={.items[*].metadata.name}",
    ];
    let first = kubectl.run(&words)?;
    let first = first.split_whitespace().next().map(str::to_owned);
    let first = first.context("no backup was made by the schedule yet")?;
    kubectl.until(
        "the first one is retired",
        SCHEDULE_LIMIT,
        &words,
        |names| {
            let names: Vec<&str> = names.split_whitespace().collect();
            names.len() >= KEPT && !names.contains(&first.as_str())
        },
    )?;
    let patch = json!({"spec": {"suspended": true}}).to_string();
    kubectl.run(&["patch", "mbs", SCHEDULE, "--type=merge", "--patch", &patch])?;
    let words = ["get", "mbs", SCHEDULE, "-o", "json"];
    kubectl.until(
        "it is suspended with what it keeps",
        LIMIT,
        &words,
        |text| {
            let seen: Value = serde_json::from_str(text).unwrap_or_default();
            let status = &seen["status"];
            let kept = status["backups"].as_array().map_or(0, Vec::len);
            status["observedGeneration"] == seen["metadata"]["generation"]
                && status["nextAt"].is_null()
                && kept == KEPT
                && condition(&seen, "Ready") == Some("True")
        },
    )?;
    let words = ["get", "mbk", "-l", &selector, "-o", "json"];
    let rest = kubectl.until("what is too much is gone", LIMIT, &words, |text| {
        let made = items(text);
        made.len() == KEPT
            && made
                .iter()
                .all(|made| made["status"]["phase"] == "Complete")
    })?;
    let mut paths: Vec<String> = Vec::new();
    for backup in items(&rest) {
        let path = backup["status"]["path"].as_str();
        let path = path.with_context(|| format!("a backup without a file: {backup:#}"))?;
        paths.push(path.to_owned());
    }
    paths.sort();
    let there = files(scene, CLAIM, SCHEDULE)?;
    ensure!(
        there == paths,
        "{paths:?} are kept, and there are {there:?}"
    );
    Ok(())
}

fn items(list: &str) -> Vec<Value> {
    let mut list: Value = serde_json::from_str(list).unwrap_or_default();
    match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}
