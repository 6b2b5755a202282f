//! The jobs of backups: the operator's agent talks to the store, the server's image restores.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, PodSpec, PodTemplateSpec,
    SecretVolumeSource, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use mainstay_operator_act::labels::{INSTANCE, MANAGED_BY, NAME, OPERATOR};
use mainstay_operator_act::render::security;
use mainstay_operator_api::MainstayBackup;
use mainstay_operator_api::backup::Destination;

/// Value of the label with the product's name: no Service and no budget of a cluster chooses it.
const PRODUCT: &str = "mainstay-backup";
/// A job that takes longer has failed.
const DEADLINE_SECONDS: i64 = 6 * 3600;
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
    let uid = backup.uid().unwrap_or_default();
    let short = uid.split('-').next().unwrap_or_default();
    format!("{}-{short}.db", backup.name_any())
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
    let mut volumes = vec![destination(&backup.spec.destination)];
    volumes.push(secret("tls", needs.credentials));
    volumes.push(Volume {
        name: "scratch".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    Ok(job(backup, "take", vec![agent], verify, volumes))
}

/// Deletes the stored snapshot.
pub fn erase(needs: &Needs<'_>) -> Result<Job, serde_json::Error> {
    let backup = needs.backup;
    let agent = agent(needs, "erase")?;
    let volumes = vec![destination(&backup.spec.destination)];
    Ok(job(backup, "erase", Vec::new(), agent, volumes))
}

pub fn name(backup: &MainstayBackup, task: &str) -> String {
    format!("{}-{task}", backup.name_any())
}

fn agent(needs: &Needs<'_>, task: &str) -> Result<Container, serde_json::Error> {
    let destination = serde_json::to_string(&needs.backup.spec.destination)?;
    let volume = needs.backup.spec.destination.volume.is_some();
    let path = if volume { "/backup" } else { "/credentials" };
    Ok(Container {
        name: AGENT.to_owned(),
        image: Some(needs.operator_image.to_owned()),
        args: Some(vec![
            "agent".to_owned(),
            task.to_owned(),
            format!("--destination={destination}"),
            format!("--name={}", file(needs.backup)),
        ]),
        volume_mounts: Some(vec![mount("destination", path, !volume)]),
        security_context: Some(security::container()),
        ..Container::default()
    })
}

fn job(
    backup: &MainstayBackup,
    task: &str,
    before: Vec<Container>,
    last: Container,
    volumes: Vec<Volume>,
) -> Job {
    let labels = BTreeMap::from([
        (NAME.to_owned(), PRODUCT.to_owned()),
        (INSTANCE.to_owned(), backup.name_any()),
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
            active_deadline_seconds: Some(DEADLINE_SECONDS),
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

fn destination(destination: &Destination) -> Volume {
    if let Some(s3) = &destination.s3 {
        return secret("destination", &s3.credentials_secret);
    }
    let claim = destination.volume.as_ref();
    Volume {
        name: "destination".to_owned(),
        persistent_volume_claim: claim.map(|claim| PersistentVolumeClaimVolumeSource {
            claim_name: claim.claim_name.clone(),
            read_only: None,
        }),
        ..Volume::default()
    }
}

fn secret(name: &str, secret: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}
