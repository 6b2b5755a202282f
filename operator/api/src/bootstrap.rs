//! What a new cluster begins with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backup::Destination;

/// What a new cluster begins with; it cannot be changed later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BootstrapSpec {
    /// Begin with the content of a backup instead of nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_from: Option<RestoreSource>,
}

/// A backup to begin with: either by the name of its resource, or by where it lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, kube::KubeSchema)]
#[x_kube(validation = Rule::new("has(self.backup) != has(self.from)")
    .message("restoreFrom takes exactly one of backup and from"))]
#[serde(rename_all = "camelCase")]
pub struct RestoreSource {
    /// A `MainstayBackup` of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub backup: Option<String>,
    /// Where a snapshot file lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SnapshotRef>,
}

/// A snapshot file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRef {
    /// The volume or the store it lies in.
    pub at: Destination,
    /// Its path or key in there.
    #[schemars(length(min = 1, max = 512))]
    pub path: String,
}
