//! How clients reach the cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Services beside the one between members.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServicesSpec {
    /// The Service `<name>-client`: all members that serve.
    #[serde(default)]
    pub client: ServiceSpec,
    /// The Service `<name>-leader`: the member that leads. Any member takes writes; going to the
    /// leader saves a hop.
    #[serde(default)]
    pub leader: ServiceSpec,
}

/// One Service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// Its type.
    #[serde(default, rename = "type")]
    pub kind: ServiceType,
    /// Annotations on it, e.g. for a load balancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// From within the Kubernetes cluster.
    #[default]
    ClusterIP,
    /// Also by a port of every node.
    NodePort,
    /// Also by a load balancer of the cloud.
    LoadBalancer,
}
