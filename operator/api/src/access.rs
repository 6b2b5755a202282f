//! Users and roles of a cluster, declared: `MainstayUser` and `MainstayRole`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::storage::Retention;

/// A user of a cluster.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "mainstay.dev",
    version = "v1alpha1",
    kind = "MainstayUser",
    plural = "mainstayusers",
    shortname = "msu",
    category = "mainstay",
    namespaced,
    status = "MainstayUserStatus",
    derive = "PartialEq",
    doc = "A user of a MainstayCluster, with its roles and with what it logs in by.",
    printcolumn(name = "CLUSTER", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "USER", type_ = "string", json_path = ".status.name"),
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
    ),
    validation = Rule::new("has(self.spec.userName) || self.metadata.name != 'root'")
        .message("root belongs to spec.auth of the cluster")
)]
#[x_kube(validation = Rule::new("self.cluster == oldSelf.cluster && has(self.userName) == has(oldSelf.userName) && (!has(self.userName) || self.userName == oldSelf.userName)")
    .message("cluster and userName cannot be changed: make another MainstayUser"))]
#[x_kube(validation = Rule::new("has(self.password) || has(self.certificate)")
    .message("a user needs a password, a certificate or both"))]
#[x_kube(validation = Rule::new("!has(self.password) || !has(self.certificate) || self.password.secretName != self.certificate.secretName")
    .message("password and certificate need a Secret each: the operator would write the certificate over the password"))]
#[serde(rename_all = "camelCase")]
pub struct MainstayUserSpec {
    /// The cluster of the same namespace.
    #[schemars(length(min = 1, max = 40))]
    pub cluster: String,
    /// The user's name in the cluster; that of the resource if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self != 'root'")
        .message("root belongs to spec.auth of the cluster"))]
    pub user_name: Option<String>,
    /// Names of roles in the cluster: all that the user has. What was granted beside them is
    /// revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub roles: Vec<String>,
    /// The user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordSpec>,
    /// A client certificate that stands for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateSpec>,
    /// What becomes of the user when this resource is deleted.
    #[serde(default = "delete")]
    pub when_deleted: Retention,
}

/// Where a password is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasswordSpec {
    /// Secret of the same namespace whose key `password` it is. If it changes, so does the password
    /// of the user.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Make the Secret with a random password if there is none.
    #[serde(default)]
    pub generate: bool,
}

/// Where a certificate goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSpec {
    /// Secret of the same namespace that the operator writes: `ca.crt`, `tls.crt` and `tls.key`. It
    /// is renewed in time. Only where the operator issues the cluster's certificates.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// What has come of a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MainstayUserStatus {
    /// Generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The user's name in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which state of the Secret the password was last set by: its uid and resource version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_version: Option<String>,
    /// End of the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_until: Option<Time>,
    /// How often somebody else's change was put right.
    #[serde(default)]
    pub drifts: u32,
    /// Condition `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A role of a cluster.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "mainstay.dev",
    version = "v1alpha1",
    kind = "MainstayRole",
    plural = "mainstayroles",
    shortname = "msr",
    category = "mainstay",
    namespaced,
    status = "MainstayRoleStatus",
    derive = "PartialEq",
    doc = "A role of a MainstayCluster: which keys whoever has it may read and write.",
    printcolumn(name = "CLUSTER", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "ROLE", type_ = "string", json_path = ".status.name"),
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
    ),
    validation = Rule::new("has(self.spec.roleName) || self.metadata.name != 'root'")
        .message("the role root may do everything and belongs to spec.auth of the cluster")
)]
#[x_kube(validation = Rule::new("self.cluster == oldSelf.cluster && has(self.roleName) == has(oldSelf.roleName) && (!has(self.roleName) || self.roleName == oldSelf.roleName)")
    .message("cluster and roleName cannot be changed: make another MainstayRole"))]
#[serde(rename_all = "camelCase")]
pub struct MainstayRoleSpec {
    /// The cluster of the same namespace.
    #[schemars(length(min = 1, max = 40))]
    pub cluster: String,
    /// The role's name in the cluster; that of the resource if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self != 'root'")
        .message("the role root may do everything and belongs to spec.auth of the cluster"))]
    pub role_name: Option<String>,
    /// All that it permits. What was granted beside it is revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub permissions: Vec<PermissionSpec>,
    /// What becomes of the role when this resource is deleted.
    #[serde(default = "delete")]
    pub when_deleted: Retention,
}

/// Which keys, and what may be done with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.key), has(self.prefix), has(self.from), has(self.all) && self.all].filter(given, given).size() == 1")
    .message("a permission is about exactly one of key, prefix, from and all"))]
#[x_kube(validation = Rule::new("has(self.from) == has(self.to)")
    .message("from and to go together"))]
#[x_kube(validation = Rule::new("!has(self.from) || !has(self.to) || self.from < self.to")
    .message("to comes after from"))]
#[serde(rename_all = "camelCase")]
pub struct PermissionSpec {
    /// What may be done.
    pub access: Access,
    /// The one key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub key: Option<String>,
    /// All keys that begin with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub prefix: Option<String>,
    /// This key and all after it that come before `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub from: Option<String>,
    /// The first key that is not meant any longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub to: Option<String>,
    /// Every key there is.
    #[serde(default)]
    pub all: bool,
}

/// What may be done with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Access {
    /// Read and watch.
    Read,
    /// Put and delete.
    Write,
    /// Both.
    ReadWrite,
}

/// What has come of a role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MainstayRoleStatus {
    /// Generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The role's name in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How often somebody else's change was put right.
    #[serde(default)]
    pub drifts: u32,
    /// Condition `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

fn delete() -> Retention {
    Retention::Delete
}

impl MainstayUser {
    /// The name in the cluster.
    pub fn user_name(&self) -> &str {
        let own = self.spec.user_name.as_deref();
        own.unwrap_or_else(|| self.metadata.name.as_deref().unwrap_or_default())
    }
}

impl MainstayRole {
    /// The name in the cluster.
    pub fn role_name(&self) -> &str {
        let own = self.spec.role_name.as_deref();
        own.unwrap_or_else(|| self.metadata.name.as_deref().unwrap_or_default())
    }
}
