//! The status of a cluster: written by its own field manager, and only if it differs.

use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use mainstay_operator_api::{MainstayCluster, MainstayClusterStatus};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::context::Context;
use crate::metrics::Object;

/// Apart from that of the objects, so that neither drops fields of the other.
const MANAGER: &str = "mainstay-operator-status";
/// Sizes and lags of a cluster under load differ at each look; alone they are told this often. Each
/// write is a change that triggers a pass, and would so trigger the next write.
const NUMBERS: Duration = Duration::from_secs(15);

pub async fn write(
    context: &Context,
    named: &Object,
    cluster: &MainstayCluster,
    status: &MainstayClusterStatus,
) -> kube::Result<()> {
    let known = cluster.status.clone().unwrap_or_default();
    if cluster.status.is_some() && known == *status {
        return Ok(());
    }
    let told = context.told.lock().get(named).copied();
    let lately = told.is_some_and(|told: Instant| told.elapsed() < NUMBERS);
    if lately && without_numbers(&known) == without_numbers(status) {
        return Ok(());
    }
    let api = context.api::<MainstayCluster>(Some(&named.namespace));
    match apply(&api, cluster, status).await {
        // It went away meanwhile.
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(()),
        other => {
            other?;
            context.told.lock().insert(named.clone(), Instant::now());
            Ok(())
        }
    }
}

/// Writes the status of a resource of ours.
pub async fn apply<K, S>(api: &Api<K>, object: &K, status: &S) -> kube::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    S: Serialize,
{
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        // Of this resource and not of a later one of the same name.
        "metadata": {"uid": object.meta().uid},
        "status": status,
    });
    let params = PatchParams::apply(MANAGER).force();
    let name = object.name_any();
    let written = api
        .patch_status(&name, &params, &Patch::Apply(&patch))
        .await;
    written.map(drop)
}

fn without_numbers(status: &MainstayClusterStatus) -> MainstayClusterStatus {
    let mut status = status.clone();
    status.db_size = None;
    for member in &mut status.members {
        member.lag = None;
        member.db_size = None;
    }
    status
}
