//! Options of the server: compaction, quota, timing, and a door for what has no field.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How old revisions are compacted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.mode == 'Revision' ? self.retention.matches('^[1-9][0-9]*$') : self.retention.matches('^[1-9][0-9]*(s|m|h)$')")
    .message("compaction.retention is a number of revisions in mode Revision, and a time such as 30m in mode Periodic"))]
#[serde(rename_all = "camelCase")]
pub struct CompactionSpec {
    /// Whether `retention` counts time or revisions.
    pub mode: CompactionMode,
    /// How much history is kept: `30m`, `1h` or a number of revisions.
    #[schemars(length(min = 1, max = 16))]
    pub retention: String,
}

/// What history is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CompactionMode {
    /// By time.
    Periodic,
    /// By revisions.
    Revision,
}

/// Options of the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.heartbeatMillis) || !has(self.electionMillis) || self.electionMillis >= 5 * self.heartbeatMillis")
    .message("server.electionMillis must be at least five times server.heartbeatMillis"))]
#[serde(rename_all = "camelCase")]
pub struct ServerSpec {
    /// Time between heartbeats of the leader, in milliseconds; the server's default is 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 10000))]
    pub heartbeat_millis: Option<u32>,
    /// Time without a heartbeat after which a follower stands for election, in milliseconds; the
    /// server's default is 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 50, max = 50000))]
    pub election_millis: Option<u32>,
    /// Largest request in bytes; the server's default is 1.5 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 104857600))]
    pub max_request_bytes: Option<u32>,
    /// Most operations in a transaction; the server's default is 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536))]
    pub max_txn_ops: Option<u32>,
    /// How much the server logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
    /// Further arguments of the server, each as `--flag=value`. Those that the operator sets
    /// itself are refused. Nothing vouches for a cluster that is run with unusual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 256)))]
    #[x_kube(validation = Rule::new("self.all(a, a.matches('^--[a-z][a-z0-9-]*(=.*)?$'))")
        .message("extraArgs are written as --flag=value"))]
    #[x_kube(validation = Rule::new(OWNED)
        .message("extraArgs must not hold a flag that the operator sets: identity, URLs, TLS, data directory, quota, compaction, log format"))]
    pub extra_args: Vec<String>,
}

/// Refuses, by prefix, every flag that `operator/act` writes.
const OWNED: &str = "self.all(a, !['--name', '--data-dir', '--wal-dir', '--config-file', '--membership-intent-file', '--initial-', '--force-new-cluster', '--listen-', '--advertise-', '--discovery', '--cert-file', '--key-file', '--trusted-ca-file', '--client-', '--peer-', '--auto-tls', '--quota-backend-bytes', '--auto-compaction-', '--heartbeat-interval', '--election-timeout', '--max-request-bytes', '--max-txn-ops', '--log-'].exists(p, a.startsWith(p)))";

/// How much the server logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator of the cluster wants to know.
    Info,
    /// What may need attention.
    Warn,
    /// What failed.
    Error,
}
