//! What a cluster is, as told to people: written by the operator only.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a cluster is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MainstayClusterStatus {
    /// The generation of the spec that this status tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for what is going on; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Voters that serve, of those that are asked for: `2/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// Members that there are, learners included.
    #[serde(default)]
    pub replicas: i32,
    /// Voters that serve.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Label selector of the pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Identity of the cluster, hexadecimal.
    #[serde(default, rename = "clusterID", skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The member that leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The version that all pods run; the former one as long as a change of it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The largest database among the members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_size: Option<String>,
    /// When the first of the certificates expires, as a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates_until: Option<String>,
    /// The number that the annotation `mainstay.dev/recover-quorum` must carry to be heard; it grows
    /// with each recovery, and with each wish for one that came while a quorum served.
    #[serde(default)]
    pub recoveries: u32,
    /// Each member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub members: Vec<MemberStatus>,
    /// Available, Progressing, Degraded, TLSReady, QuorumLost, Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// One word for what is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Nothing is formed yet.
    Pending,
    /// The members are forming a cluster.
    Bootstrapping,
    /// A backup is being restored.
    Restoring,
    /// All is as asked for.
    Running,
    /// It serves, and something needs attention.
    Degraded,
    /// A member is being added.
    ScalingUp,
    /// A member is being removed.
    ScalingDown,
    /// Pods are being renewed.
    Upgrading,
    /// A member is being replaced.
    Repairing,
    /// Certificates are being exchanged.
    Rotating,
    /// Volumes are growing.
    Resizing,
    /// Pods are stopping.
    Hibernating,
    /// No pods run, by wish.
    Hibernated,
    /// Pods are starting.
    Waking,
    /// The operator only reports, by wish.
    Paused,
    /// The members cannot be asked.
    Unknown,
    /// There is no quorum.
    QuorumLost,
    /// It is being made anew out of a survivor.
    Recovering,
    /// It is being deleted.
    Deleting,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Name of the member and of its pod.
    pub name: String,
    /// Identity, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `leader`, `follower`, `learner`, or `none` if it takes no part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Whether it serves.
    #[serde(default)]
    pub ready: bool,
    /// Where it stands in its life: Bootstrapping, Adding, Joining, Voter, Leaving, Removed,
    /// Replacing or Held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Which life of this place in the cluster it is: grows with each replacement.
    #[serde(default)]
    pub incarnation: u64,
    /// Version that the server reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether its pod is of the newest template.
    #[serde(default)]
    pub updated: bool,
    /// Entries of the log that it is behind the leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// Size of its database in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_size: Option<i64>,
    /// When the first of its certificates expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates_until: Option<Time>,
    /// What keeps it from serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
