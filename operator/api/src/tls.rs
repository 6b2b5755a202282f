//! Who issues the certificates. TLS is always on, between members and towards clients, with a CA
//! for each.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who issues the certificates, and for which names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(self.source == 'CertManager') == has(self.certManager)")
    .message("tls.certManager is given exactly when tls.source is CertManager"))]
#[x_kube(validation = Rule::new("(self.source == 'Secrets') == has(self.secrets)")
    .message("tls.secrets is given exactly when tls.source is Secrets"))]
#[x_kube(validation = Rule::new("self.renewBeforeDays * 2 <= self.certificateDays")
    .message("tls.renewBeforeDays must be at most half of tls.certificateDays"))]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// Who issues the certificates.
    #[serde(default)]
    pub source: TlsSource,
    /// Issuers of cert-manager, one for clients and one for members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_manager: Option<CertManagerSpec>,
    /// Secrets that somebody else fills and renews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<SecretsSpec>,
    /// Further DNS names and IP addresses by which clients reach the cluster.
    #[serde(default, rename = "extraSANs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    pub extra_sans: Vec<String>,
    /// Life of a certificate in days.
    #[serde(default = "default_certificate_days")]
    #[schemars(range(min = 2, max = 3650))]
    pub certificate_days: u32,
    /// Life of a CA of the operator in days.
    #[serde(default = "default_ca_days")]
    #[schemars(range(min = 30, max = 36500))]
    pub ca_days: u32,
    /// Certificates are renewed this many days before they expire, and CAs three times as many.
    #[serde(default = "default_renew_before")]
    #[schemars(range(min = 1, max = 365))]
    pub renew_before_days: u32,
}

/// Who issues the certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsSource {
    /// The operator, with CAs of its own that it keeps in Secrets.
    #[default]
    Operator,
    /// cert-manager.
    CertManager,
    /// Somebody else, who fills Secrets.
    Secrets,
}

/// Issuers of cert-manager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertManagerSpec {
    /// Issues what clients and servers show each other.
    pub client_issuer: IssuerRef,
    /// Issues what members show each other.
    pub peer_issuer: IssuerRef,
}

/// An issuer of cert-manager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// `Issuer` or `ClusterIssuer`.
    #[serde(default)]
    pub kind: IssuerKind,
    /// Its API group.
    #[serde(default = "default_group")]
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
}

/// Kinds of issuers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IssuerKind {
    /// One of the cluster's own namespace.
    #[default]
    Issuer,
    /// One for all namespaces.
    ClusterIssuer,
}

/// Secrets of type `kubernetes.io/tls` that also hold `ca.crt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretsSpec {
    /// What members show to clients, and whom they trust as clients.
    #[schemars(length(min = 1, max = 253))]
    pub server: String,
    /// What members show each other.
    #[schemars(length(min = 1, max = 253))]
    pub peer: String,
    /// What the operator shows to members; its common name is the user `root`.
    #[schemars(length(min = 1, max = 253))]
    pub operator: String,
}

fn default_certificate_days() -> u32 {
    90
}

fn default_ca_days() -> u32 {
    3650
}

fn default_renew_before() -> u32 {
    30
}

fn default_group() -> String {
    "cert-manager.io".to_owned()
}

impl Default for TlsSpec {
    fn default() -> TlsSpec {
        TlsSpec {
            source: TlsSource::Operator,
            cert_manager: None,
            secrets: None,
            extra_sans: Vec::new(),
            certificate_days: default_certificate_days(),
            ca_days: default_ca_days(),
            renew_before_days: default_renew_before(),
        }
    }
}
