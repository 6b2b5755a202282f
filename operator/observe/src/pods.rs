//! Pods, and whether the node of one that is not ready is still there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Node, Pod as ApiPod};
use kube::{Api, Client, ResourceExt};
use mainstay_operator_plan::observed::{Pod, PodPhase};

/// Set by people or by a cloud on a node that is off for certain.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
const REVISION: &str = "controller-revision-hash";

pub async fn read(client: &Client, pods: &BTreeMap<u32, ApiPod>) -> BTreeMap<u32, Pod> {
    let mut all = BTreeMap::new();
    for (ordinal, found) in pods {
        let mut pod = view(found);
        if !pod.ready
            && let Some(node) = found
                .spec
                .as_ref()
                .and_then(|spec| spec.node_name.as_deref())
        {
            pod.node_gone = is_gone(client, node).await;
        }
        all.insert(*ordinal, pod);
    }
    all
}

fn view(pod: &ApiPod) -> Pod {
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let condition = |kind: &str| conditions.iter().find(|known| known.type_ == kind);
    let ready = condition("Ready").is_some_and(|known| known.status == "True");
    let created = pod.creation_timestamp().map(|time| time.0);
    let since = condition("Ready").and_then(|known| known.last_transition_time.as_ref());
    let since = since.map(|time| time.0).or(created);
    let unscheduled = condition("PodScheduled")
        .filter(|known| known.status == "False")
        .and_then(|known| known.reason.clone());
    Pod {
        uid: pod.uid().unwrap_or_default(),
        revision: pod.labels().get(REVISION).cloned().unwrap_or_default(),
        phase: phase(status.phase.as_deref()),
        ready,
        deleting: pod.metadata.deletion_timestamp.is_some(),
        restarts: containers
            .iter()
            .map(|container| u32::try_from(container.restart_count).unwrap_or(0))
            .max()
            .unwrap_or(0),
        waiting: containers.iter().find_map(waiting).or(unscheduled),
        out_of_memory: containers.iter().any(ended_for_memory),
        node_gone: false,
        created,
        unready_since: since
            .filter(|_| !ready)
            .filter(|time: &Timestamp| !time.is_zero()),
        annotations: pod.annotations().clone(),
    }
}

fn phase(text: Option<&str>) -> PodPhase {
    match text {
        Some("Running") => PodPhase::Running,
        Some("Succeeded") => PodPhase::Succeeded,
        Some("Failed") => PodPhase::Failed,
        Some("Unknown") => PodPhase::Unknown,
        _ => PodPhase::Pending,
    }
}

fn waiting(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    state.waiting.as_ref()?.reason.clone()
}

fn ended_for_memory(container: &ContainerStatus) -> bool {
    let states = [&container.state, &container.last_state];
    let ended = states
        .into_iter()
        .flatten()
        .filter_map(|state| state.terminated.as_ref());
    ended
        .into_iter()
        .any(|ended| ended.reason.as_deref() == Some("OOMKilled"))
}

/// Only what is certain counts: an operator that may not read nodes sees none gone.
async fn is_gone(client: &Client, name: &str) -> bool {
    match Api::<Node>::all(client.clone()).get_opt(name).await {
        Ok(None) => true,
        Ok(Some(node)) => {
            let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
            taints.iter().any(|taint| taint.key == OUT_OF_SERVICE)
        }
        Err(error) => {
            tracing::debug!(node = name, %error, "a node cannot be read");
            false
        }
    }
}
