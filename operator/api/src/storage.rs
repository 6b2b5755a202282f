//! Where a member keeps its data, and what becomes of it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of a volume that is no longer used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Retention {
    /// It stays until somebody deletes it.
    Retain,
    /// The operator deletes it.
    Delete,
}

/// The volume of each member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.class) == has(oldSelf.class) && (!has(self.class) || self.class == oldSelf.class)")
    .message("storage.class cannot be changed: the volumes exist. Restore a backup into a new cluster instead"))]
#[serde(rename_all = "camelCase")]
pub struct StorageSpec {
    /// Size of each member's volume: a whole number with Ki, Mi, Gi, Ti, k, M, G or T. It can grow
    /// if the storage class allows it, never shrink.
    #[serde(default = "default_size")]
    #[schemars(
        length(max = 20),
        regex(pattern = "^[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?$")
    )]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity(oldSelf)) >= 0")
        .message("storage.size cannot shrink"))]
    pub size: String,
    /// Storage class of the volumes; the default class of the Kubernetes cluster if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class: Option<String>,
    /// What becomes of the volumes when the cluster is deleted.
    #[serde(default = "retain")]
    pub when_deleted: Retention,
    /// What becomes of a member's volume when the cluster is scaled down, once the member is gone.
    #[serde(default = "delete")]
    pub when_scaled: Retention,
}

fn default_size() -> String {
    "8Gi".to_owned()
}

fn retain() -> Retention {
    Retention::Retain
}

fn delete() -> Retention {
    Retention::Delete
}

impl Default for StorageSpec {
    fn default() -> StorageSpec {
        StorageSpec {
            size: default_size(),
            class: None,
            when_deleted: retain(),
            when_scaled: delete(),
        }
    }
}

impl StorageSpec {
    /// The size in bytes; 0 for a text that the resource's pattern would have refused.
    pub fn bytes(&self) -> u64 {
        crate::quantity::bytes(&self.size).unwrap_or(0)
    }
}
