//! The command line of a member.

use mainstay_operator_api::server::{CompactionMode, LogLevel};

use super::Subject;
use crate::labels::{CLIENT_PORT, METRICS_PORT, PEER_PORT};

pub const DATA: &str = "/var/lib/mainstay";
pub const MEMBERS: &str = "/etc/mainstay/members";
pub const CLIENT_TLS: &str = "/etc/mainstay/tls/client";
pub const PEER_TLS: &str = "/etc/mainstay/tls/peer";

/// All of them. `$(POD_NAME)` is put in by the kubelet.
pub fn of(subject: &Subject<'_>) -> Vec<String> {
    let host = format!(
        "$(POD_NAME).{}-peer.{}.svc",
        subject.name, subject.namespace
    );
    let mut args = vec![
        "--name=$(POD_NAME)".to_owned(),
        format!("--data-dir={DATA}/data"),
        format!("--membership-intent-file={MEMBERS}/$(POD_NAME).json"),
        format!("--initial-cluster-token={}", subject.uid),
        format!("--listen-client-urls=https://0.0.0.0:{CLIENT_PORT}"),
        format!("--advertise-client-urls=https://{host}:{CLIENT_PORT}"),
        format!("--listen-peer-urls=https://0.0.0.0:{PEER_PORT}"),
        format!("--initial-advertise-peer-urls=https://{host}:{PEER_PORT}"),
        format!("--listen-metrics-urls=http://0.0.0.0:{METRICS_PORT}"),
    ];
    for (side, folder) in [("", CLIENT_TLS), ("peer-", PEER_TLS)] {
        args.push(format!("--{side}cert-file={folder}/tls.crt"));
        args.push(format!("--{side}key-file={folder}/tls.key"));
        args.push(format!("--{side}trusted-ca-file={folder}/ca.crt"));
        args.push(format!("--{side}client-cert-auth=true"));
    }
    // Members know each other by a CA that signs for nobody else. The address a connection comes
    // from would have to be found in DNS first, which follows a new pod late.
    args.push("--peer-skip-client-san-verification=true".to_owned());
    args.extend(options(subject));
    // The resource refuses those that would take the place of one above.
    args.extend(subject.spec.server.extra_args.iter().cloned());
    args
}

/// What has a field of its own in the spec.
fn options(subject: &Subject<'_>) -> Vec<String> {
    let (spec, server) = (subject.spec, &subject.spec.server);
    let mut args = Vec::new();
    if spec.quota.is_some() {
        args.push(format!("--quota-backend-bytes={}", spec.quota_bytes()));
    }
    if let Some(compaction) = &spec.compaction {
        let mode = match compaction.mode {
            CompactionMode::Periodic => "periodic",
            CompactionMode::Revision => "revision",
        };
        args.push(format!("--auto-compaction-mode={mode}"));
        args.push(format!(
            "--auto-compaction-retention={}",
            compaction.retention
        ));
    }
    for (flag, value) in [
        ("heartbeat-interval", server.heartbeat_millis),
        ("election-timeout", server.election_millis),
        ("max-request-bytes", server.max_request_bytes),
        ("max-txn-ops", server.max_txn_ops),
    ] {
        args.extend(value.map(|value| format!("--{flag}={value}")));
    }
    let level = server.log_level.map(|level| match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    });
    args.extend(level.map(|level| format!("--log-level={level}")));
    args
}
