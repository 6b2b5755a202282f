//! Where backups lie, as a pod reaches it: the volume itself, or the Secret that opens the bucket.

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume, VolumeMount,
};
use mainstay_operator_api::backup::Destination;

/// Where the operator's agent looks for the one and the other.
const BACKUP: &str = "/backup";
const CREDENTIALS: &str = "/credentials";

/// Name of the volume in the pod.
const NAME: &str = "destination";

pub fn volume(destination: &Destination, read_only: bool) -> Volume {
    if let Some(s3) = &destination.s3 {
        return secret(NAME, &s3.credentials_secret);
    }
    let claim = destination.volume.as_ref();
    Volume {
        name: NAME.to_owned(),
        persistent_volume_claim: claim.map(|claim| PersistentVolumeClaimVolumeSource {
            claim_name: claim.claim_name.clone(),
            read_only: read_only.then_some(true),
        }),
        ..Volume::default()
    }
}

/// The mount of that volume where the agent looks for it. Of a Secret nothing is ever written.
pub fn mount(destination: &Destination, read_only: bool) -> VolumeMount {
    let is_volume = destination.volume.is_some();
    VolumeMount {
        name: NAME.to_owned(),
        mount_path: if is_volume { BACKUP } else { CREDENTIALS }.to_owned(),
        read_only: (read_only || !is_volume).then_some(true),
        ..VolumeMount::default()
    }
}

/// A whole Secret, readable by the pod's group.
pub fn secret(name: &str, secret: &str) -> Volume {
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
