//! The backup that a new cluster is to begin with.

use kube::{Api, Client, ResourceExt};
use mainstay_operator_api::MainstayCluster;
use mainstay_operator_api::backup::{BackupPhase, MainstayBackup};
use mainstay_operator_plan::observed::RestoreView;

pub async fn read(client: &Client, cluster: &MainstayCluster) -> RestoreView {
    let bootstrap = cluster.spec.bootstrap.as_ref();
    let Some(source) = bootstrap.and_then(|bootstrap| bootstrap.restore_from.as_ref()) else {
        return RestoreView::None;
    };
    if let Some(from) = &source.from {
        return not_yet(&from.path);
    }
    let name = source.backup.clone().unwrap_or_default();
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<MainstayBackup> = Api::namespaced(client.clone(), &namespace);
    let missing = |reason: String| RestoreView::Missing(reason);
    let backup = match api.get_opt(&name).await {
        Ok(Some(backup)) => backup,
        Ok(None) => return missing(format!("there is no MainstayBackup {name}")),
        Err(error) => return missing(format!("MainstayBackup {name} cannot be read: {error}")),
    };
    let status = backup.status.unwrap_or_default();
    match (status.phase, status.path) {
        (Some(BackupPhase::Complete), Some(path)) => not_yet(&path),
        _ => missing(format!("MainstayBackup {name} is not complete")),
    }
}

/// No pod restores it yet, and a cluster that began empty instead would be the worse surprise: so it
/// is not formed.
fn not_yet(path: &str) -> RestoreView {
    RestoreView::Missing(format!(
        "{path} is there, but this version does not begin a cluster with a backup: restore it with \
         `mainstay snapshot restore` by hand"
    ))
}
