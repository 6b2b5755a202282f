//! The jobs of backups: the operator's agent talks to the store, the server's image restores.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, PodSpec, PodTemplateSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use mainstay_operator_act::labels::{INSTANCE, MANAGED_BY, NAME, OPERATOR};
use mainstay_operator_act::render::{place, security};
use mainstay_operator_api::MainstayBackup;

/// Value of the label with the product's name: no Service and no budget of a cluster chooses it.
const PRODUCT: &str = "mainstay-backup";
/// A job that takes longer has failed.
const TAKE_SECONDS: i64 = 6 * 3600;
const ERASE_SECONDS: i64 = 600;
/// Longest name of a backup that its jobs are named after: a label takes 63 bytes, and to the name
/// come the begin of a uid (9), that of the task (6) and what a Job adds for its pods.
const NAME_BYTES: usize = 40;
/// Container whose log says what a restore has found.
pub const VERIFY: &str = "verify";
/// Container whose last words are the outcome.
pub const AGENT: &str = "agent";

/// What a job is made of.
pub struct Needs<'a> {
    pub backup: &'a MainstayBackup,
    pub operator_image: &'a str,
    pub server_image: &'a str,
    /// Secret with what members are shown.
    pub credentials: &'a str,
    /// Host of the client Service.
    pub host: &'a str,
}

pub fn selector() -> String {
    format!("{MANAGED_BY}={OPERATOR},{NAME}={PRODUCT}")
}

/// The name under which the snapshot is stored: that of the resource, and of no other of that name.
pub fn file(backup: &MainstayBackup) -> String {
    format!("{}-{}.db", backup.name_any(), short(backup))
}

/// Takes, stores and verifies a snapshot.
pub fn take(needs: &Needs<'_>) -> Result<Job, serde_json::Error> {
    let backup = needs.backup;
    let mut agent = agent(needs, "backup")?;
    let mut args = agent.args.take().unwrap_or_default();
    args.push(format!("--host={}", needs.host));
    args.push("--file=/scratch/snapshot.db".to_owned());
    agent.args = Some(args);
    let mut mounts = agent.volume_mounts.take().unwrap_or_default();
    mounts.push(mount("tls", "/tls", true));
    mounts.push(mount("scratch", "/scratch", false));
    agent.volume_mounts = Some(mounts);
    let verify = Container {
        name: VERIFY.to_owned(),
        image: Some(needs.server_image.to_owned()),
        args: Some(
            [
                "snapshot",
                "restore",
                "/scratch/snapshot.db",
                "--data-dir=/scratch/restored",
            ]
            .map(str::to_owned)
            .to_vec(),
        ),
        volume_mounts: Some(vec![mount("scratch", "/scratch", false)]),
        security_context: Some(security::container()),
        ..Container::default()
    };
    let mut volumes = vec![place::volume(&backup.spec.destination, false)];
    volumes.push(place::secret("tls", needs.credentials));
    volumes.push(Volume {
        name: "scratch".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    Ok(job(
        backup,
        ("take", TAKE_SECONDS),
        vec![agent],
        verify,
        volumes,
    ))
}

/// Deletes the stored snapshot.
pub fn erase(needs: &Needs<'_>) -> Result<Job, serde_json::Error> {
    let backup = needs.backup;
    let agent = agent(needs, "erase")?;
    let volumes = vec![place::volume(&backup.spec.destination, false)];
    let task = ("erase", ERASE_SECONDS);
    Ok(job(backup, task, Vec::new(), agent, volumes))
}

pub fn name(backup: &MainstayBackup, task: &str) -> String {
    format!("{}-{task}", stem(backup))
}

/// The name of the resource, or a short one that is no other's: pods carry it as a label.
fn stem(backup: &MainstayBackup) -> String {
    let name = backup.name_any();
    if name.len() <= NAME_BYTES {
        return name;
    }
    // Names of resources are ASCII.
    let begin = name.get(..NAME_BYTES).unwrap_or_default();
    let begin = begin.trim_end_matches(|end: char| !end.is_ascii_alphanumeric());
    format!("{begin}-{}", short(backup))
}

/// Enough of the uid to tell resources of one name apart.
fn short(backup: &MainstayBackup) -> String {
    let uid = backup.uid().unwrap_or_default();
    uid.split('-').next().unwrap_or_default().to_owned()
}

fn agent(needs: &Needs<'_>, task: &str) -> Result<Container, serde_json::Error> {
    let destination = serde_json::to_string(&needs.backup.spec.destination)?;
    let mount = place::mount(&needs.backup.spec.destination, false);
    Ok(Container {
        name: AGENT.to_owned(),
        image: Some(needs.operator_image.to_owned()),
        args: Some(vec![
            "agent".to_owned(),
            task.to_owned(),
            format!("--destination={destination}"),
            format!("--name={}", file(needs.backup)),
        ]),
        volume_mounts: Some(vec![mount]),
        security_context: Some(security::container()),
        ..Container::default()
    })
}

fn job(
    backup: &MainstayBackup,
    (task, seconds): (&str, i64),
    before: Vec<Container>,
    last: Container,
    volumes: Vec<Volume>,
) -> Job {
    let labels = BTreeMap::from([
        (NAME.to_owned(), PRODUCT.to_owned()),
        (INSTANCE.to_owned(), stem(backup)),
        (MANAGED_BY.to_owned(), OPERATOR.to_owned()),
    ]);
    Job {
        metadata: ObjectMeta {
            name: Some(name(backup, task)),
            namespace: backup.namespace(),
            labels: Some(labels.clone()),
            owner_references: Some(owner(backup).into_iter().collect()),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(2),
            active_deadline_seconds: Some(seconds),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    ..ObjectMeta::default()
                }),
                spec: Some(PodSpec {
                    init_containers: (!before.is_empty()).then_some(before),
                    containers: vec![last],
                    volumes: Some(volumes),
                    restart_policy: Some("Never".to_owned()),
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    security_context: Some(security::pod()),
                    ..PodSpec::default()
                }),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn owner(backup: &MainstayBackup) -> Option<OwnerReference> {
    backup.controller_owner_ref(&())
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn backup(name: &str, destination: serde_json::Value) -> MainstayBackup {
        serde_json::from_value(json!({
            "apiVersion": "mainstay.dev/v1alpha1",
            "kind": "MainstayBackup",
            "metadata": {"name": name, "namespace": "ns", "uid": "0a1b2c3d-4e5f-6789-abcd-ef0123456789"},
            "spec": {"cluster": "db", "destination": destination},
        }))
        .unwrap()
    }

    fn made(backup: &MainstayBackup) -> PodSpec {
        let needs = Needs {
            backup,
            operator_image: "operator:1",
            server_image: "server:1",
            credentials: "db-operator-tls",
            host: "db-client.ns.svc",
        };
        take(&needs).unwrap().spec.unwrap().template.spec.unwrap()
    }

    #[test]
    fn long_names_stay_labels_and_tell_backups_apart() {
        let place = || json!({"volume": {"claimName": "c"}});
        assert_eq!(name(&backup("nightly", place()), "take"), "nightly-take");
        let long = format!("{}.{}", "a".repeat(39), "b".repeat(200));
        let named = name(&backup(&long, place()), "erase");
        assert_eq!(named, format!("{}-0a1b2c3d-erase", "a".repeat(39)));
        assert!(named.len() + "-xxxxx".len() <= 63, "{}", named.len());
    }

    #[test]
    fn what_is_stored_is_restored_before_it_counts() {
        for (place, source) in [
            (json!({"volume": {"claimName": "c"}}), "/backup"),
            (
                json!({"s3": {"bucket": "backups", "credentialsSecret": "s"}}),
                "/credentials",
            ),
        ] {
            let pod = made(&backup("nightly", place));
            let agent = &pod.init_containers.unwrap()[0];
            let mounts = agent.volume_mounts.clone().unwrap();
            assert!(
                mounts.iter().any(|mount| mount.mount_path == source),
                "{mounts:?}"
            );
            let verify = &pod.containers[0];
            assert_eq!(verify.image.as_deref(), Some("server:1"));
            // What came back from the store, not what was sent there.
            let file = "/scratch/snapshot.db".to_owned();
            assert!(verify.args.clone().unwrap().contains(&file));
            assert!(
                agent
                    .args
                    .clone()
                    .unwrap()
                    .contains(&format!("--file={file}"))
            );
        }
    }
}
