//! `MainstayCluster`: what people ask for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LocalObjectReference, ResourceRequirements};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bootstrap::BootstrapSpec;
use crate::recovery::RecoverySpec;
use crate::scheduling::SchedulingSpec;
use crate::server::{CompactionSpec, ServerSpec};
use crate::service::ServicesSpec;
use crate::status::MainstayClusterStatus;
use crate::storage::StorageSpec;
use crate::tls::TlsSpec;

/// What a cluster shall be.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "mainstay.dev",
    version = "v1alpha1",
    kind = "MainstayCluster",
    plural = "mainstayclusters",
    shortname = "msc",
    category = "mainstay",
    namespaced,
    status = "MainstayClusterStatus",
    derive = "PartialEq",
    doc = "A Mainstay cluster: an etcd-compatible, replicated key-value store.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "READY", type_ = "string", json_path = ".status.ready"),
    printcolumn(name = "MEMBERS", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "VERSION", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "LEADER", type_ = "string", json_path = ".status.leader"),
    printcolumn(name = "STATUS", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "DB SIZE", type_ = "string", json_path = ".status.dbSize", priority = 1),
    printcolumn(name = "CERTIFICATES UNTIL", type_ = "string", json_path = ".status.certificatesUntil", priority = 1),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name of a MainstayCluster becomes part of DNS names: at most 40 characters, lower case letters, digits and dashes, beginning with a letter")
)]
#[x_kube(validation = Rule::new("has(self.bootstrap) == has(oldSelf.bootstrap) && (!has(self.bootstrap) || self.bootstrap == oldSelf.bootstrap)")
    .message("bootstrap tells what a new cluster begins with and cannot be changed later"))]
#[serde(rename_all = "camelCase")]
pub struct MainstayClusterSpec {
    /// Number of voting members: 3 survive the loss of one, 5 of two. An even number survives no
    /// more than the odd one below it.
    #[serde(default = "default_replicas")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 9")
        .message("replicas must be between 1 and 9; to stop a cluster and keep its data, set hibernated"))]
    pub replicas: u32,
    /// Version of the server: the tag of its image.
    #[serde(default = "default_version")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    )]
    pub version: String,
    /// Where the image comes from.
    #[serde(default)]
    pub image: ImageSpec,
    /// The volume of each member.
    #[serde(default)]
    pub storage: StorageSpec,
    /// CPU and memory of each member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Where the pods may run.
    #[serde(default)]
    pub scheduling: SchedulingSpec,
    /// Certificates, between members and towards clients.
    #[serde(default)]
    pub tls: TlsSpec,
    /// Users and their rights. If given, authentication is switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,
    /// How old revisions are compacted. If left out, only clients compact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compaction: Option<CompactionSpec>,
    /// Bytes that the store may hold before it takes no more writes; the server's default is 2Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 20),
        regex(pattern = "^[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?$")
    )]
    pub quota: Option<String>,
    /// Options of the server.
    #[serde(default)]
    pub server: ServerSpec,
    /// How clients reach the cluster.
    #[serde(default)]
    pub services: ServicesSpec,
    /// Labels and annotations for the pods.
    #[serde(default)]
    pub pod_template: PodTemplateSpec,
    /// Leave everything as it is: the operator only reports.
    #[serde(default)]
    pub paused: bool,
    /// Run no pods and keep the volumes. Setting it back brings the same cluster back.
    #[serde(default)]
    pub hibernated: bool,
    /// What the operator may do on its own when members fail.
    #[serde(default)]
    pub recovery: RecoverySpec,
    /// What a new cluster begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<BootstrapSpec>,
}

/// Where the image of the server comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageSpec {
    /// Repository without a tag; the operator's default if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 255),
        regex(pattern = "^[a-z0-9][a-z0-9._/:-]*$")
    )]
    pub repository: Option<String>,
    /// Digest such as `sha256:...`, used instead of the version's tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
    /// When the image is pulled.
    #[serde(default)]
    pub pull_policy: PullPolicy,
    /// Secrets with credentials of the registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub pull_secrets: Vec<LocalObjectReference>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// If the node does not have it.
    #[default]
    IfNotPresent,
    /// At every start.
    Always,
    /// Never: the node must have it.
    Never,
}

/// Users and their rights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthSpec {
    /// Secret of the same namespace whose key `password` is the password of the user `root`. If it
    /// changes, so does the password.
    #[schemars(length(min = 1, max = 253))]
    pub root_secret: String,
}

impl AuthSpec {
    /// The key of the Secret.
    pub const PASSWORD: &str = "password";

    /// The password by the bytes of its key; none if it is empty or no text. The line end that an
    /// editor leaves is not part of it.
    pub fn password(bytes: &[u8]) -> Option<&str> {
        let text = std::str::from_utf8(bytes).ok()?;
        let text = text.trim_end_matches('\n');
        (!text.is_empty()).then_some(text)
    }
}

/// Labels and annotations for the pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplateSpec {
    /// Labels beside those of the operator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('mainstay.dev/') && !k.startsWith('app.kubernetes.io/'))")
        .message("labels under mainstay.dev/ and app.kubernetes.io/ are the operator's"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations beside those of the operator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('mainstay.dev/'))")
        .message("annotations under mainstay.dev/ are the operator's"))]
    pub annotations: BTreeMap<String, String>,
}

fn default_replicas() -> u32 {
    3
}

fn default_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// The quota of a server that is given none (etcd).
const DEFAULT_QUOTA: u64 = 2 << 30;

impl MainstayClusterSpec {
    /// The quota in bytes.
    pub fn quota_bytes(&self) -> u64 {
        let given = self.quota.as_deref().and_then(crate::quantity::bytes);
        given.unwrap_or(DEFAULT_QUOTA)
    }
}

impl Default for MainstayClusterSpec {
    fn default() -> MainstayClusterSpec {
        MainstayClusterSpec {
            replicas: default_replicas(),
            version: default_version(),
            image: ImageSpec::default(),
            storage: StorageSpec::default(),
            resources: None,
            scheduling: SchedulingSpec::default(),
            tls: TlsSpec::default(),
            auth: None,
            compaction: None,
            quota: None,
            server: ServerSpec::default(),
            services: ServicesSpec::default(),
            pod_template: PodTemplateSpec::default(),
            paused: false,
            hibernated: false,
            recovery: RecoverySpec::default(),
            bootstrap: None,
        }
    }
}
