//! What is wrong around a cluster, in words that say what to do.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod as ApiPod, Secret};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use mainstay_operator_api::cluster::AuthSpec;
use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::tls::TlsSource;
use mainstay_operator_plan::observed::{Pod, Problem};
use mainstay_operator_plan::record;

use crate::objects::Objects;
use crate::view::Source;

/// The kubelet's words for an image that it does not get.
const IMAGE: &[&str] = &[
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
];

/// A volume that waits for longer has a problem.
const PATIENCE: SignedDuration = SignedDuration::from_secs(20);

pub async fn find(
    source: &Source<'_>,
    objects: &Objects,
    pods: &BTreeMap<u32, Pod>,
) -> Vec<Problem> {
    let mut problems = secrets(source, objects);
    problems.extend(volumes(source, objects).await);
    for (ordinal, pod) in pods {
        problems.extend(waiting(source, *ordinal, pod, objects));
    }
    problems.extend(objects.pods.values().find_map(unbrought));
    problems.extend(refused(source, objects).await);
    problems
}

fn secrets(source: &Source<'_>, objects: &Objects) -> Vec<Problem> {
    let auth = source.cluster.spec.auth.iter();
    let password = auth.filter_map(|auth| kept(objects, &auth.root_secret, &[AuthSpec::PASSWORD]));
    let all = certificates(source, objects).into_iter().chain(password);
    all.map(|message| Problem {
        reason: Reason::SecretMissing,
        message,
    })
    .collect()
}

/// What Secrets with certificates lack, where somebody else fills them.
pub fn certificates(source: &Source<'_>, objects: &Objects) -> Vec<String> {
    if source.cluster.spec.tls.source == TlsSource::Operator {
        return Vec::new();
    }
    let names = source.leaves.values();
    names
        .filter_map(|name| kept(objects, name, &["tls.crt", "tls.key", "ca.crt"]))
        .collect()
}

fn kept(objects: &Objects, name: &str, keys: &[&str]) -> Option<String> {
    lacking(objects.secrets.get(name), name, keys)
}

/// What a Secret lacks and what to do about it; none if it has all of the keys.
pub fn lacking(found: Option<&Secret>, name: &str, keys: &[&str]) -> Option<String> {
    let missing = keys.iter().filter(|key| !holds(found, key));
    let missing: Vec<&str> = missing.copied().collect();
    let missing = (!missing.is_empty()).then(|| missing.join(", "))?;
    Some(match found {
        None => format!("the Secret {name} is missing: create it with {missing}"),
        Some(_) => format!("the Secret {name} lacks {missing}: add it"),
    })
}

fn holds(secret: Option<&Secret>, key: &str) -> bool {
    let data = secret.and_then(|secret| secret.data.as_ref());
    let bytes = data.and_then(|data| data.get(key));
    bytes.is_some_and(|bytes| !bytes.0.is_empty())
}

async fn volumes(source: &Source<'_>, objects: &Objects) -> Vec<Problem> {
    let pending: Vec<_> = objects
        .volumes
        .values()
        .filter(|claim| is_pending(claim))
        .collect();
    let Some(first) = pending.first() else {
        return Vec::new();
    };
    let class = first
        .spec
        .as_ref()
        .and_then(|spec| spec.storage_class_name.clone());
    let name = first.name_any();
    let Some(class) = class.filter(|class| !class.is_empty()) else {
        let message = format!(
            "volume {name} waits and names no storage class: set spec.storage.class, or make one the default"
        );
        return vec![Problem {
            reason: Reason::StorageClassUnknown,
            message,
        }];
    };
    // An operator that may not read storage classes only knows that the volume waits.
    let known = Api::<StorageClass>::all(source.client.clone())
        .get_opt(&class)
        .await;
    let (reason, message) = match known {
        Ok(None) => (
            Reason::StorageClassUnknown,
            format!("there is no storage class {class}: create it"),
        ),
        _ => (
            Reason::VolumePending,
            format!(
                "volume {name} is not bound yet: see its events for what the class {class} lacks"
            ),
        ),
    };
    vec![Problem { reason, message }]
}

fn is_pending(claim: &PersistentVolumeClaim) -> bool {
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let created = claim.creation_timestamp().map(|time| time.0);
    // Every volume waits a little for whoever provides it.
    let waited = created.is_some_and(|time| Timestamp::now().duration_since(time) > PATIENCE);
    claim.metadata.deletion_timestamp.is_none() && waited && matches!(phase, None | Some("Pending"))
}

fn waiting(source: &Source<'_>, ordinal: u32, pod: &Pod, objects: &Objects) -> Option<Problem> {
    let reason = pod.waiting.as_deref()?;
    let name = format!("{}-{ordinal}", source.cluster.name_any());
    let found = objects.pods.get(&ordinal);
    let status = found.and_then(|pod| pod.status.as_ref());
    if IMAGE.contains(&reason) {
        let containers = found
            .and_then(|pod| pod.spec.as_ref())
            .map(|spec| &spec.containers);
        let image = containers.and_then(|all| all.first()?.image.clone());
        let message = format!(
            "pod {name} cannot get its image {} ({reason}): correct spec.image or spec.version, or make the image available",
            image.unwrap_or_default()
        );
        return Some(Problem {
            reason: Reason::ImageUnavailable,
            message,
        });
    }
    if reason == "Unschedulable" {
        let conditions = status.and_then(|status| status.conditions.as_ref());
        let text = conditions.and_then(|all| {
            let scheduled = all.iter().find(|known| known.type_ == "PodScheduled")?;
            scheduled.message.clone()
        });
        let message = format!("no node takes pod {name}: {}", text.unwrap_or_default());
        return Some(Problem {
            reason: Reason::Unschedulable,
            message,
        });
    }
    if reason == "CreateContainerConfigError" {
        let message = format!("pod {name} lacks a Secret or ConfigMap that it mounts");
        return Some(Problem {
            reason: Reason::SecretMissing,
            message,
        });
    }
    None
}

/// The container that brings a snapshot to the first member has failed, or is about to try again.
fn unbrought(pod: &ApiPod) -> Option<Problem> {
    let status = pod.status.as_ref()?;
    let mut before = status.init_container_statuses.iter().flatten();
    let brings = before.find(|known| known.name == record::RESTORE && !known.ready)?;
    let states = [&brings.state, &brings.last_state];
    let mut states = states.into_iter().flatten();
    let ended = states.find_map(|state| state.terminated.as_ref())?;
    let words = ended.message.as_deref().or(ended.reason.as_deref());
    let words = words.unwrap_or("it gives no reason").trim();
    (ended.exit_code != 0).then(|| Problem {
        reason: Reason::RestoreFailed,
        message: format!(
            "pod {} cannot be brought its snapshot: {words}. It is tried again by itself, at the \
             latest five minutes after the last time; or delete the cluster and name another backup",
            pod.name_any()
        ),
    })
}

/// A StatefulSet that may not make its pods says so by events alone.
async fn refused(source: &Source<'_>, objects: &Objects) -> Option<Problem> {
    let set = objects.workload.as_ref()?;
    let wanted = set.spec.as_ref()?.replicas.unwrap_or(1);
    if i32::try_from(objects.pods.len()).unwrap_or(i32::MAX) >= wanted {
        return None;
    }
    let namespace = source.cluster.namespace().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(source.client.clone(), &namespace);
    let uid = set.uid()?;
    let fields = format!("involvedObject.uid={uid},reason=FailedCreate");
    let events = api
        .list(&ListParams::default().fields(&fields))
        .await
        .ok()?;
    let last = events.items.into_iter().max_by_key(|event| {
        event
            .last_timestamp
            .clone()
            .or_else(|| event.metadata.creation_timestamp.clone())
    })?;
    Some(Problem {
        reason: Reason::PodsRefused,
        message: format!(
            "the API server refuses pods: {}",
            last.message.unwrap_or_default()
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(state: serde_json::Value, last: serde_json::Value) -> ApiPod {
        serde_json::from_value(json!({
            "metadata": {"name": "db-0"},
            "status": {"initContainerStatuses": [{
                "name": "restore", "image": "i", "imageID": "", "ready": false, "restartCount": 1,
                "state": state, "lastState": last,
            }]},
        }))
        .unwrap()
    }

    #[test]
    fn a_snapshot_that_is_not_brought_is_told_with_its_reason() {
        let failed = json!({"terminated": {"exitCode": 1, "message": "no such file\n"}});
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        for pod in [pod(failed.clone(), json!({})), pod(waits, failed)] {
            let problem = unbrought(&pod).unwrap();
            assert_eq!(problem.reason, Reason::RestoreFailed);
            let begin = "pod db-0 cannot be brought its snapshot: no such file. ";
            assert!(problem.message.starts_with(begin), "{}", problem.message);
        }
        let runs = pod(json!({"running": {}}), json!({}));
        assert_eq!(unbrought(&runs), None);
    }
}
