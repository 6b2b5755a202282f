//! Every flag of etcd 3.7: what it defaults to, what its value is, and what it does here.

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int,
    Uint,
    Duration,
    Text,
    /// Any value, or none at all.
    Anything,
}

/// What becomes of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Used,
    /// Accepted; there is nothing here for it to change. Says so in the log when it is set to
    /// something else than its default.
    Ignored,
    /// The same, with what does it instead.
    Instead(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub name: &'static str,
    pub default: &'static str,
    pub kind: Kind,
    pub status: Status,
}

pub fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

use Kind::{Anything, Bool, Duration, Int, Text, Uint};
use Status::{Ignored, Used};

/// Go's profiles are of Go's runtime. The symbols that perf needs are in the release's binary.
const PPROF: Status = Status::Instead(
    "there is no /debug/pprof; `perf record -g -p PID` profiles the processor, and the metric \
     process_resident_memory_bytes tells the memory",
);

const fn flag(name: &'static str, default: &'static str, kind: Kind, status: Status) -> Flag {
    Flag {
        name,
        default,
        kind,
        status,
    }
}

/// In the groups and order of etcd's help.
#[rustfmt::skip]
pub const FLAGS: &[Flag] = &[
    // Member.
    flag("name", "default", Text, Used),
    flag("data-dir", "", Text, Used),
    flag("wal-dir", "", Text, Used),
    flag("snapshot-count", "10000", Uint, Used),
    flag("heartbeat-interval", "100", Uint, Used),
    flag("election-timeout", "1000", Uint, Used),
    flag("initial-election-tick-advance", "true", Bool, Ignored),
    flag("listen-peer-urls", "http://localhost:2380", Text, Used),
    flag("listen-client-urls", "http://localhost:2379", Text, Used),
    flag("listen-client-http-urls", "", Text, Used),
    flag("max-snapshots", "5", Uint, Ignored),
    flag("max-wals", "5", Uint, Ignored),
    flag("memory-mlock", "false", Bool, Ignored),
    flag("quota-backend-bytes", "0", Int, Used),
    flag("backend-bbolt-freelist-type", "", Text, Ignored),
    flag("backend-batch-interval", "0s", Duration, Ignored),
    flag("backend-batch-limit", "0", Int, Ignored),
    flag("max-txn-ops", "128", Uint, Used),
    flag("max-request-bytes", "1572864", Uint, Used),
    flag("max-concurrent-streams", "4294967295", Uint, Used),
    flag("grpc-keepalive-min-time", "5s", Duration, Used),
    flag("grpc-keepalive-interval", "2h0m0s", Duration, Used),
    flag("grpc-keepalive-timeout", "20s", Duration, Used),
    flag("socket-reuse-port", "false", Bool, Ignored),
    flag("socket-reuse-address", "false", Bool, Ignored),
    flag("enable-grpc-gateway", "true", Bool, Used),
    flag("raft-read-timeout", "5s", Duration, Ignored),
    flag("raft-write-timeout", "5s", Duration, Ignored),
    flag("feature-gates", "", Text, Used),
    // Clustering.
    flag("initial-advertise-peer-urls", "http://localhost:2380", Text, Used),
    flag("initial-cluster", "default=http://localhost:2380", Text, Used),
    flag("initial-cluster-state", "new", Text, Used),
    flag("initial-cluster-token", "etcd-cluster", Text, Used),
    flag("advertise-client-urls", "http://localhost:2379", Text, Used),
    flag("discovery-token", "", Text, Used),
    flag("discovery-endpoints", "", Text, Used),
    flag("discovery-dial-timeout", "2s", Duration, Used),
    flag("discovery-request-timeout", "5s", Duration, Used),
    flag("discovery-keepalive-time", "2s", Duration, Ignored),
    flag("discovery-keepalive-timeout", "6s", Duration, Ignored),
    flag("discovery-insecure-transport", "true", Bool, Used),
    flag("discovery-insecure-skip-tls-verify", "false", Bool, Used),
    flag("discovery-cert", "", Text, Used),
    flag("discovery-key", "", Text, Used),
    flag("discovery-cacert", "", Text, Used),
    flag("discovery-user", "", Text, Used),
    flag("discovery-password", "", Text, Used),
    flag("discovery-fallback", "exit", Text, Ignored),
    flag("discovery-srv", "", Text, Used),
    flag("discovery-srv-name", "", Text, Used),
    flag("strict-reconfig-check", "true", Bool, Used),
    flag("pre-vote", "true", Bool, Used),
    flag("auto-compaction-retention", "0", Text, Used),
    flag("auto-compaction-mode", "periodic", Text, Used),
    flag("v2-deprecation", "write-only", Text, Ignored),
    // Security.
    flag("cert-file", "", Text, Used),
    flag("key-file", "", Text, Used),
    flag("client-cert-auth", "false", Bool, Used),
    flag("client-cert-file", "", Text, Used),
    flag("client-key-file", "", Text, Used),
    flag("client-crl-file", "", Text, Used),
    flag("client-cert-allowed-hostname", "", Text, Used),
    flag("trusted-ca-file", "", Text, Used),
    flag("auto-tls", "false", Bool, Used),
    flag("peer-cert-file", "", Text, Used),
    flag("peer-key-file", "", Text, Used),
    flag("peer-client-cert-auth", "false", Bool, Used),
    flag("peer-client-cert-file", "", Text, Used),
    flag("peer-client-key-file", "", Text, Used),
    flag("peer-trusted-ca-file", "", Text, Used),
    flag("peer-cert-allowed-cn", "", Text, Used),
    flag("peer-cert-allowed-hostname", "", Text, Used),
    flag("peer-auto-tls", "false", Bool, Used),
    flag("peer-crl-file", "", Text, Used),
    flag("peer-skip-client-san-verification", "false", Bool, Used),
    flag("self-signed-cert-validity", "1", Uint, Used),
    flag("cipher-suites", "", Text, Used),
    flag("cors", "*", Text, Used),
    flag("host-whitelist", "*", Text, Used),
    flag("tls-min-version", "TLS1.2", Text, Used),
    flag("tls-max-version", "", Text, Used),
    // Auth.
    flag("auth-token", "simple", Text, Used),
    flag("bcrypt-cost", "10", Uint, Used),
    flag("auth-token-ttl", "300", Uint, Used),
    // These two are not etcd's.
    flag("password-hash", "bcrypt", Text, Used),
    flag("auth-attempts-per-minute", "60", Uint, Used),
    // Observing.
    flag("enable-pprof", "false", Bool, PPROF),
    flag("metrics", "basic", Text, Used),
    flag("listen-metrics-urls", "", Text, Used),
    flag("logger", "zap", Text, Used),
    flag("log-outputs", "default", Text, Used),
    flag("log-level", "info", Text, Used),
    flag("log-format", "json", Text, Used),
    flag("enable-log-rotation", "false", Bool, Used),
    flag("log-rotation-config-json", LOG_ROTATION, Text, Used),
    flag("warning-unary-request-duration", "300ms", Duration, Ignored),
    flag("warning-apply-duration", "100ms", Duration, Ignored),
    flag("enable-distributed-tracing", "false", Bool, Used),
    flag("distributed-tracing-address", "localhost:4317", Text, Used),
    flag("distributed-tracing-service-name", "etcd", Text, Used),
    flag("distributed-tracing-instance-id", "", Text, Used),
    flag("distributed-tracing-sampling-rate", "0", Int, Used),
    // Features.
    flag("corrupt-check-time", "0s", Duration, Used),
    flag("compact-hash-check-time", "1m0s", Duration, Used),
    flag("compaction-batch-limit", "0", Int, Ignored),
    flag("compaction-sleep-interval", "0s", Duration, Ignored),
    flag("watch-progress-notify-interval", "0s", Duration, Used),
    flag("bootstrap-defrag-threshold-megabytes", "0", Uint, Ignored),
    flag("max-learners", "1", Int, Used),
    flag("downgrade-check-time", "5s", Duration, Ignored),
    flag("snapshot-catchup-entries", "5000", Uint, Used),
    // Unsafe.
    flag("force-new-cluster", "false", Bool, Used),
    flag("unsafe-no-fsync", "false", Bool, Used),
    // Other.
    flag("config-file", "", Text, Used),
    // Not etcd's.
    flag("membership-intent-file", "", Text, Used),
    // etcd takes these and does nothing either.
    flag("cluster-active-size", "", Anything, Ignored),
    flag("cluster-remove-delay", "", Anything, Ignored),
    flag("cluster-sync-interval", "", Anything, Ignored),
    flag("config", "", Text, Ignored),
    flag("force", "", Anything, Ignored),
    flag("max-result-buffer", "", Anything, Ignored),
    flag("max-retry-attempts", "", Anything, Ignored),
    flag("peer-heartbeat-interval", "", Anything, Ignored),
    flag("peer-election-timeout", "", Anything, Ignored),
    flag("retry-interval", "", Anything, Ignored),
    flag("snapshot", "", Anything, Ignored),
    flag("v", "", Anything, Ignored),
    flag("vv", "", Anything, Ignored),
];

const LOG_ROTATION: &str =
    r#"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::go;

    #[test]
    fn names_are_distinct_and_defaults_are_of_their_kind() {
        for (at, flag) in FLAGS.iter().enumerate() {
            assert!(
                FLAGS[..at].iter().all(|other| other.name != flag.name),
                "{}",
                flag.name
            );
            assert_eq!(go::check(flag.kind, flag.default), Ok(()), "{}", flag.name);
        }
    }
}
