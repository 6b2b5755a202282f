//! Snapshots of a cluster: one, and one after the other by a schedule.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One snapshot of a cluster, taken once and verified by a restore.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "mainstay.dev",
    version = "v1alpha1",
    kind = "MainstayBackup",
    plural = "mainstaybackups",
    shortname = "mbk",
    category = "mainstay",
    namespaced,
    status = "MainstayBackupStatus",
    derive = "PartialEq",
    doc = "One snapshot of a MainstayCluster, taken once and verified by a restore into a scratch directory.",
    printcolumn(name = "CLUSTER", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "PHASE", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "REVISION", type_ = "integer", json_path = ".status.revision"),
    printcolumn(name = "SIZE", type_ = "integer", json_path = ".status.bytes"),
    printcolumn(
        name = "AGE",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("a backup is taken once: its spec cannot be changed"))]
#[serde(rename_all = "camelCase")]
pub struct MainstayBackupSpec {
    /// The cluster of the same namespace.
    #[schemars(length(min = 1, max = 40))]
    pub cluster: String,
    /// Where the snapshot goes.
    pub destination: Destination,
    /// What becomes of the file when this resource is deleted.
    #[serde(default = "retain")]
    pub when_deleted: crate::storage::Retention,
}

fn retain() -> crate::storage::Retention {
    crate::storage::Retention::Retain
}

/// A volume or an S3-compatible store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.volume) != has(self.s3)")
    .message("a destination is exactly one of volume and s3"))]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// A PersistentVolumeClaim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeDestination>,
    /// A bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Destination>,
}

/// A PersistentVolumeClaim of the same namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeDestination {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
    /// Folder in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub path: Option<String>,
}

/// A bucket of S3 or of a store that speaks like it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3Destination {
    /// The bucket.
    #[schemars(length(min = 3, max = 63))]
    pub bucket: String,
    /// Begin of the keys in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub prefix: Option<String>,
    /// URL of the store, if it is not Amazon's. The bucket is asked for in the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 512), regex(pattern = "^https?://"))]
    pub endpoint: Option<String>,
    /// Region of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub region: Option<String>,
    /// Secret with `accessKeyID` and `secretAccessKey`, and `ca.crt` if the store's CA is private.
    #[schemars(length(min = 1, max = 253))]
    pub credentials_secret: String,
}

impl S3Destination {
    /// Keys of the Secret that must be there.
    pub const ACCESS_KEY_ID: &str = "accessKeyID";
    pub const SECRET_ACCESS_KEY: &str = "secretAccessKey";
}

/// What has become of a backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MainstayBackupStatus {
    /// The generation that this status tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<BackupPhase>,
    /// Path or key of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Revision of the store that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Size of the file in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// SHA-256 of the file, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Keys that a restore of it held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<i64>,
    /// When it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it was taken and verified, or had failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What went wrong, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `Complete`: true once the file is taken and verified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// How far a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackupPhase {
    /// It waits for its cluster.
    Pending,
    /// The snapshot is being taken.
    Running,
    /// The file is being restored into a scratch directory.
    Verifying,
    /// Taken and verified.
    Complete,
    /// Given up.
    Failed,
}

/// Backups of a cluster, one after the other by a schedule.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "mainstay.dev",
    version = "v1alpha1",
    kind = "MainstayBackupSchedule",
    plural = "mainstaybackupschedules",
    shortname = "mbs",
    category = "mainstay",
    namespaced,
    status = "MainstayBackupScheduleStatus",
    derive = "PartialEq",
    doc = "Backups of a MainstayCluster, one after the other by a schedule.",
    printcolumn(name = "CLUSTER", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "SCHEDULE", type_ = "string", json_path = ".spec.schedule"),
    printcolumn(name = "SUSPENDED", type_ = "boolean", json_path = ".spec.suspended"),
    printcolumn(name = "LAST", type_ = "date", json_path = ".status.lastSuccessAt"),
    printcolumn(
        name = "AGE",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MainstayBackupScheduleSpec {
    /// The cluster of the same namespace.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("cluster cannot be changed: make another schedule"))]
    pub cluster: String,
    /// When, in UTC, as five fields of cron: minute, hour, day of month, month, day of week.
    #[schemars(
        length(min = 6, max = 128),
        regex(pattern = r"^(@hourly|@daily|@weekly|@monthly|\S+ \S+ \S+ \S+ \S+)$")
    )]
    pub schedule: String,
    /// Where the snapshots go.
    pub destination: Destination,
    /// How many verified backups are kept; older ones are deleted with their files.
    #[serde(default = "default_keep")]
    #[schemars(range(min = 1, max = 1000))]
    pub keep: u32,
    /// Whether no further backups are begun. One of those that were due meanwhile is made when this ends.
    #[serde(default)]
    pub suspended: bool,
}

fn default_keep() -> u32 {
    7
}

/// What has become of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MainstayBackupScheduleStatus {
    /// The generation that this status tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the last backup was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Time>,
    /// When the last verified backup was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<Time>,
    /// When the next one is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
    /// Names of the backups that are kept, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<String>,
    /// What went wrong, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `Ready`: true if the last due backup was taken and verified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
