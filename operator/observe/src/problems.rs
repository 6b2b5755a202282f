//! What is wrong around a cluster, in words that say what to do.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Secret};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::tls::TlsSource;
use mainstay_operator_plan::observed::{Pod, Problem};

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
    problems.extend(refused(source, objects).await);
    problems
}

fn secrets(source: &Source<'_>, objects: &Objects) -> Vec<Problem> {
    let spec = &source.cluster.spec;
    let mut problems = Vec::new();
    let mut need = |name: &String, keys: &[&str]| {
        let found = objects.secrets.get(name);
        let lacking: Vec<_> = keys
            .iter()
            .filter(|key| !holds(found, key))
            .copied()
            .collect();
        let message = match found {
            None => format!(
                "the Secret {name} is missing: create it with {}",
                keys.join(", ")
            ),
            Some(_) if lacking.is_empty() => return,
            Some(_) => format!("the Secret {name} lacks {}: add it", lacking.join(", ")),
        };
        problems.push(Problem {
            reason: Reason::SecretMissing,
            message,
        });
    };
    if spec.tls.source != TlsSource::Operator {
        for name in source.leaves.values() {
            need(name, &["tls.crt", "tls.key", "ca.crt"]);
        }
    }
    if let Some(auth) = &spec.auth {
        need(&auth.root_secret, &["password"]);
    }
    problems
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
