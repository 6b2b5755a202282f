//! The backup that a new cluster is to begin with, and whether all that it takes is there.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::{Api, Client, ResourceExt};
use mainstay_operator_api::MainstayCluster;
use mainstay_operator_api::backup::{BackupPhase, Destination, MainstayBackup, S3Destination};
use mainstay_operator_api::bootstrap::{RestoreSource, SnapshotRef};
use mainstay_operator_plan::observed::RestoreView;

use crate::problems;

/// What opens a bucket.
const KEYS: [&str; 2] = [
    S3Destination::ACCESS_KEY_ID,
    S3Destination::SECRET_ACCESS_KEY,
];

/// Of use only until the cluster's first record is written.
pub async fn read(client: &Client, cluster: &MainstayCluster) -> RestoreView {
    let bootstrap = cluster.spec.bootstrap.as_ref();
    let Some(source) = bootstrap.and_then(|bootstrap| bootstrap.restore_from.as_ref()) else {
        return RestoreView::None;
    };
    let namespace = cluster.namespace().unwrap_or_default();
    match find(client, &namespace, source).await {
        Ok(text) => RestoreView::Ready(text),
        Err(reason) => RestoreView::Missing(reason),
    }
}

/// The snapshot as JSON; the error says what is missing and what to do.
async fn find(client: &Client, namespace: &str, source: &RestoreSource) -> Result<String, String> {
    let snapshot = match &source.from {
        Some(from) => from.clone(),
        None => {
            named(
                client,
                namespace,
                source.backup.as_deref().unwrap_or_default(),
            )
            .await?
        }
    };
    reachable(client, namespace, &snapshot.at).await?;
    serde_json::to_string(&snapshot).map_err(|error| error.to_string())
}

async fn named(client: &Client, namespace: &str, name: &str) -> Result<SnapshotRef, String> {
    let api: Api<MainstayBackup> = Api::namespaced(client.clone(), namespace);
    let backup = match api.get_opt(name).await {
        Ok(Some(backup)) => backup,
        Ok(None) => return Err(format!("there is no MainstayBackup {name}: create it")),
        Err(error) => return Err(format!("MainstayBackup {name} cannot be read: {error}")),
    };
    let status = backup.status.unwrap_or_default();
    match (status.phase, status.path) {
        (Some(BackupPhase::Complete), Some(path)) => Ok(SnapshotRef {
            at: backup.spec.destination,
            path,
        }),
        (Some(BackupPhase::Failed), _) => Err(format!(
            "MainstayBackup {name} has failed and holds nothing: make the cluster anew from another"
        )),
        _ => Err(format!("MainstayBackup {name} is not complete yet")),
    }
}

/// A pod that mounts what is not there would wait without a word.
async fn reachable(client: &Client, namespace: &str, at: &Destination) -> Result<(), String> {
    if let Some(volume) = &at.volume {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
        let name = &volume.claim_name;
        return match api.get_metadata_opt(name).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(format!(
                "there is no PersistentVolumeClaim {name}, which the backup lies on: create it"
            )),
            Err(error) => Err(format!(
                "PersistentVolumeClaim {name} cannot be read: {error}"
            )),
        };
    }
    let Some(bucket) = &at.s3 else {
        return Err("restoreFrom names neither a volume nor a bucket".to_owned());
    };
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let name = &bucket.credentials_secret;
    let secret = api.get_opt(name).await;
    let secret = secret.map_err(|error| format!("Secret {name} cannot be read: {error}"))?;
    let named = format!("{name}, which opens the bucket,");
    match problems::lacking(secret.as_ref(), &named, &KEYS) {
        None => Ok(()),
        Some(message) => Err(message),
    }
}
