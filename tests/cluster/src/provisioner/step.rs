//! What has to be done for the claims and volumes there are. Nothing here is carried out.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;

use super::PROVISIONER;

/// Kubernetes' own controllers write it on a claim once they leave the claim to us.
const WANTED_FROM: &str = "volume.kubernetes.io/storage-provisioner";
/// By it they know that a released volume is ours to remove.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Provision(Arc<PersistentVolumeClaim>),
    Grow {
        volume: String,
        namespace: String,
        claim: String,
        size: String,
    },
    Remove(String),
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provision(claim) => write!(out, "provision for {}", claim.name_any()),
            Self::Grow { volume, size, .. } => write!(out, "grow {volume} to {size}"),
            Self::Remove(volume) => write!(out, "remove {volume}"),
        }
    }
}

/// All steps that are due. Each may be asked for again until the watch tells of its effect.
pub fn steps(
    claims: &[Arc<PersistentVolumeClaim>],
    volumes: &[Arc<PersistentVolume>],
) -> Vec<Step> {
    let mut due = Vec::new();
    for claim in claims {
        let find = |name: &str| volumes.iter().find(|volume| volume.name_any() == name);
        match find(&volume_name(claim)) {
            None if is_waiting(claim) => due.push(Step::Provision(claim.clone())),
            Some(volume) if is_ours(volume) => due.extend(growth(claim, volume)),
            _ => {}
        }
    }
    let gone = volumes.iter().filter(|volume| is_to_be_removed(volume));
    due.extend(gone.map(|volume| Step::Remove(volume.name_any())));
    due
}

/// One volume a claim, for ever: a claim of the same name made later has another.
pub fn volume_name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.uid().unwrap_or_default())
}

/// The size that a claim asks for.
pub fn request(claim: &PersistentVolumeClaim) -> Option<String> {
    let resources = claim.spec.as_ref()?.resources.as_ref()?;
    let size = resources.requests.as_ref()?.get("storage")?;
    Some(size.0.clone())
}

fn is_waiting(claim: &PersistentVolumeClaim) -> bool {
    let wanted = claim.annotations().get(WANTED_FROM);
    let spec = claim.spec.as_ref();
    let block = spec.is_some_and(|spec| spec.volume_mode.as_deref() == Some("Block"));
    let bound = spec.is_some_and(|spec| spec.volume_name.is_some());
    wanted.is_some_and(|name| name == PROVISIONER)
        && !block
        && !bound
        && claim.metadata.deletion_timestamp.is_none()
}

fn is_ours(volume: &PersistentVolume) -> bool {
    let by = volume.annotations().get(PROVISIONED_BY);
    by.is_some_and(|name| name == PROVISIONER)
}

/// The API server lets a request only grow, so one that differs from what is there is larger.
fn growth(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<Step> {
    let status = claim.status.as_ref()?;
    if status.phase.as_deref() != Some("Bound") {
        return None;
    }
    let size = request(claim)?;
    let stored = volume.spec.as_ref()?.capacity.as_ref()?.get("storage");
    let told = status
        .capacity
        .as_ref()
        .and_then(|capacity| capacity.get("storage"));
    let differs = |found: Option<&_>| {
        found
            .is_none_or(|k8s_openapi::apimachinery::pkg::api::resource::Quantity(now)| *now != size)
    };
    (differs(stored) || differs(told)).then(|| Step::Grow {
        volume: volume.name_any(),
        namespace: claim.namespace().unwrap_or_default(),
        claim: claim.name_any(),
        size,
    })
}

fn is_to_be_removed(volume: &PersistentVolume) -> bool {
    let spec = volume.spec.as_ref();
    let policy = spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    let phase = volume
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    is_ours(volume)
        && policy == Some("Delete")
        && phase == Some("Released")
        && volume.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claim(phase: &str, size: &str, told: &str) -> Arc<PersistentVolumeClaim> {
        let volume = (phase == "Bound").then_some("pvc-1");
        let value = json!({
            "metadata": {"name": "data", "namespace": "default", "uid": "1",
                "annotations": {WANTED_FROM: PROVISIONER}},
            "spec": {"resources": {"requests": {"storage": size}}, "volumeName": volume},
            "status": {"phase": phase, "capacity": {"storage": told}},
        });
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn volume(phase: &str, size: &str, policy: &str, annotations: Value) -> Arc<PersistentVolume> {
        let value = json!({
            "metadata": {"name": "pvc-1", "annotations": annotations},
            "spec": {"capacity": {"storage": size}, "persistentVolumeReclaimPolicy": policy},
            "status": {"phase": phase},
        });
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn ours() -> Value {
        json!({PROVISIONED_BY: PROVISIONER})
    }

    #[test]
    fn a_waiting_claim_gets_one_volume() {
        let waiting = claim("Pending", "1Gi", "");
        assert_eq!(
            steps(std::slice::from_ref(&waiting), &[]),
            [Step::Provision(waiting.clone())]
        );
        assert_eq!(
            steps(&[waiting], &[volume("Available", "1Gi", "Delete", ours())]),
            []
        );
        let mut foreign = (*claim("Pending", "1Gi", "")).clone();
        foreign.metadata.annotations = None;
        assert_eq!(steps(&[Arc::new(foreign)], &[]), []);
    }

    #[test]
    fn a_volume_follows_its_claim_in_both_places() {
        let grown = |told: &str, stored: &str| {
            steps(
                &[claim("Bound", "2Gi", told)],
                &[volume("Bound", stored, "Delete", ours())],
            )
        };
        assert_eq!(grown("2Gi", "2Gi"), []);
        for (told, stored) in [("1Gi", "1Gi"), ("1Gi", "2Gi"), ("2Gi", "1Gi")] {
            assert!(
                matches!(grown(told, stored)[..], [Step::Grow { .. }]),
                "{told} {stored}"
            );
        }
    }

    #[test]
    fn only_our_released_volumes_go_and_only_by_their_policy() {
        let removed =
            |phase: &str, policy: &str, by: Value| steps(&[], &[volume(phase, "1Gi", policy, by)]);
        assert_eq!(
            removed("Released", "Delete", ours()),
            [Step::Remove("pvc-1".into())]
        );
        assert_eq!(removed("Released", "Retain", ours()), []);
        assert_eq!(removed("Bound", "Delete", ours()), []);
        assert_eq!(removed("Released", "Delete", json!({})), []);
    }
}
