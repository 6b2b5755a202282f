//! Keys of a cluster, declared: `MainstayKeySet`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::storage::Retention;

/// Keys that one resource may declare, those of its entries included.
pub const KEYS_MAX: usize = 1000;

/// Keys of a cluster that are kept as declared.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "mainstay.dev",
    version = "v1alpha1",
    kind = "MainstayKeySet",
    plural = "mainstaykeysets",
    shortname = "mks",
    category = "mainstay",
    namespaced,
    status = "MainstayKeySetStatus",
    derive = "PartialEq",
    doc = "Keys of a MainstayCluster that are kept as declared: whatever changes them in the cluster is put right at once.",
    printcolumn(name = "CLUSTER", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "PREFIX", type_ = "string", json_path = ".spec.prefix"),
    printcolumn(name = "KEYS", type_ = "integer", json_path = ".status.keys"),
    printcolumn(name = "IN SYNC", type_ = "integer", json_path = ".status.inSync"),
    printcolumn(name = "DRIFTS", type_ = "integer", json_path = ".status.drifts"),
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "REASON",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "AGE",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(validation = Rule::new("self.cluster == oldSelf.cluster && self.prefix == oldSelf.prefix")
    .message("cluster and prefix cannot be changed: make another MainstayKeySet"))]
#[x_kube(validation = Rule::new("self.unlisted != 'Delete' || (has(self.keys) && self.keys.size() > 0) || (has(self.entries) && self.entries.size() > 0)")
    .message("unlisted: Delete with neither keys nor entries would empty the prefix"))]
#[serde(rename_all = "camelCase")]
pub struct MainstayKeySetSpec {
    /// The cluster of the same namespace.
    #[schemars(length(min = 1, max = 40))]
    pub cluster: String,
    /// What every key begins with, such as `apps/web/`. Nothing outside of it is touched.
    #[schemars(length(min = 1, max = 256))]
    pub prefix: String,
    /// The MainstayUser of the same namespace as whom the keys are read, watched and written. It
    /// needs a role with `ReadWrite` on the prefix. To be given exactly if the cluster has
    /// authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub user: Option<String>,
    /// Keys, each with where its value comes from. Together with those of `entries` 1,000 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub keys: Vec<DeclaredKey>,
    /// Whole ConfigMaps and Secrets of the same namespace: a key for each of their entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub entries: Vec<Entries>,
    /// What templates may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub variables: Vec<Variable>,
    /// What becomes of keys under the prefix that nobody has declared. `Delete` makes the whole
    /// prefix the set's own.
    #[serde(default = "keep")]
    pub unlisted: Unlisted,
    /// What becomes of the keys when this resource is deleted.
    #[serde(default = "delete")]
    pub when_deleted: Retention,
    /// Leave the keys alone for now, and do not watch them.
    #[serde(default)]
    pub suspended: bool,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.value), has(self.base64), has(self.template), has(self.from)].filter(given, given).size() == 1")
    .message("a key has exactly one of value, base64, template and from"))]
#[serde(rename_all = "camelCase")]
pub struct DeclaredKey {
    /// The key without the prefix.
    #[schemars(length(min = 1, max = 512))]
    pub key: String,
    /// The value as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value in Base64 (RFC 4648), for what is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"))]
    pub base64: Option<String>,
    /// A Jinja template of the value: `{{ host }}:{{ port | default('2379') }}`. It may name what
    /// `variables` has, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub template: Option<String>,
    /// One entry of a ConfigMap or Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EntrySource>,
}

/// One entry of a ConfigMap or of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.configMap) != has(self.secret)")
    .message("from is exactly one of configMap and secret"))]
#[serde(rename_all = "camelCase")]
pub struct EntrySource {
    /// An entry of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<Entry>,
    /// An entry of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Entry>,
}

/// Where an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The object, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Which of its entries.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// All entries of a ConfigMap or of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.configMap) != has(self.secret)")
    .message("entries are of exactly one of configMap and secret"))]
#[serde(rename_all = "camelCase")]
pub struct Entries {
    /// A ConfigMap of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub config_map: Option<String>,
    /// A Secret of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret: Option<String>,
    /// What stands between the prefix and the name of each entry, such as `flags/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub under: Option<String>,
}

/// A name that templates may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.value) != has(self.from)")
    .message("a variable has exactly one of value and from"))]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// How templates name it.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// The value as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// One entry of a ConfigMap or Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EntrySource>,
}

/// What becomes of keys that nobody has declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unlisted {
    /// They stay.
    Keep,
    /// They are deleted.
    Delete,
}

fn keep() -> Unlisted {
    Unlisted::Keep
}

fn delete() -> Retention {
    Retention::Delete
}

/// What has come of a set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MainstayKeySetStatus {
    /// Generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Keys that are declared, those of entries included.
    #[serde(default)]
    pub keys: i64,
    /// Declared keys that have their value in the cluster.
    #[serde(default)]
    pub in_sync: i64,
    /// How often a key was put right that somebody else had changed.
    #[serde(default)]
    pub drifts: i64,
    /// When that last happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drift_at: Option<Time>,
    /// Keys, without the prefix, that the set has written or is about to write. It is written before
    /// the cluster is changed, so that none is forgotten that has to be deleted later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managed: Vec<String>,
    /// Declared keys that belong to another set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub conflicts: Vec<KeyConflict>,
    /// Which state of the spec and of its ConfigMaps and Secrets the cluster last had: a digest of
    /// their versions, not of values. What differs from then on is somebody else's doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// Condition `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A key that belongs to another set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyConflict {
    /// The key without the prefix.
    pub key: String,
    /// Name of the older MainstayKeySet that has it.
    pub held_by: String,
}

/// Writes the enum of reasons and their list from one table.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Why a set is ready or not. `operator/README.md` says what to do about each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum KeySetReason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl KeySetReason {
            pub const ALL: &[KeySetReason] = &[$(KeySetReason::$name),+];

            /// As conditions carry it.
            pub const fn text(self) -> &'static str {
                match self { $(KeySetReason::$name => stringify!($name),)+ }
            }
        }
    };
}

reasons! {
    /// All declared keys have their values.
    InSync,
    /// Keys are being put right; another has just changed them again.
    Drifting,
    /// Somebody else changes the same keys over and over.
    Contested,
    /// Keys belong to another set.
    Conflict,
    /// A ConfigMap, a Secret or an entry of one is missing.
    SourceMissing,
    /// A template cannot be rendered.
    TemplateFailed,
    /// Two sources declare one key, or there are too many keys.
    DeclarationRefused,
    /// The cluster has authentication, and the set names no user.
    UserRequired,
    /// The user may not read or write the keys.
    PermissionDenied,
    /// The cluster refused a write for another reason.
    WriteRefused,
    /// The cluster does not answer.
    StoreUnreachable,
    /// The set leaves the keys alone, by wish.
    Suspended,
    /// The keys are being deleted.
    Deleting,
}
