//! The objects of a cluster, from its spec alone: pure, and the same each time.
//!
//! What a running cluster adds comes in as arguments: how many pods there are to be, and the size
//! that the volumes were made with. Start with `workload.rs`.

pub mod args;
pub mod budget;
pub mod certificates;
mod meta;
pub mod place;
pub mod pod;
pub mod security;
pub mod services;
pub mod workload;

use std::collections::BTreeMap;

use mainstay_operator_api::MainstayClusterSpec;
use mainstay_operator_api::tls::TlsSource;
use mainstay_operator_plan::observed::Leaf;

use crate::tls::leaf_secret;

/// What is the same for all clusters of an operator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Repository of the server's image, for clusters that name none.
    pub repository: String,
    /// Of DNS inside of Kubernetes.
    pub domain: String,
    /// The operator's own image, which brings backups to and from their stores; without it there are
    /// none.
    pub operator_image: Option<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            repository: "ghcr.io/mainstay/mainstay".to_owned(),
            domain: "cluster.local".to_owned(),
            operator_image: None,
        }
    }
}

/// A cluster, as far as its objects depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    pub uid: &'a str,
    pub annotations: &'a BTreeMap<String, String>,
    pub spec: &'a MainstayClusterSpec,
    pub settings: &'a Settings,
}

/// The Secrets that certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretNames {
    /// What members show to clients.
    pub server: String,
    /// What they show each other.
    pub peer: String,
    /// What the operator shows to members.
    pub operator: String,
}

/// The given ones, or those of the operator or of cert-manager.
pub fn secret_names(cluster: &str, spec: &MainstayClusterSpec) -> SecretNames {
    if spec.tls.source == TlsSource::Secrets
        && let Some(given) = &spec.tls.secrets
    {
        return SecretNames {
            server: given.server.clone(),
            peer: given.peer.clone(),
            operator: given.operator.clone(),
        };
    }
    SecretNames {
        server: leaf_secret(cluster, Leaf::Server),
        peer: leaf_secret(cluster, Leaf::Peer),
        operator: leaf_secret(cluster, Leaf::Operator),
    }
}

impl Subject<'_> {
    pub fn secrets(&self) -> SecretNames {
        secret_names(self.name, self.spec)
    }

    /// By which members and clients dial a pod.
    pub fn host(&self, ordinal: u32) -> String {
        let (name, namespace) = (self.name, self.namespace);
        format!("{name}-{ordinal}.{name}-peer.{namespace}.svc")
    }

    pub fn peer_url(&self, ordinal: u32) -> String {
        format!(
            "https://{}:{}",
            self.host(ordinal),
            crate::labels::PEER_PORT
        )
    }
}

#[cfg(test)]
mod tests;
