//! From flags to settings: what contradicts itself is refused here, with etcd's words for it.

use std::path::PathBuf;
use std::time::Duration;

use mainstay_raft::MemberPolicy;

use super::gates::{self, Gates};
use super::values::Values;
use super::{Refusal, access, auth, cluster, discovery, go, rotation, telemetry, tls, urls};
use crate::settings::{
    AutoCompaction, CorruptionChecks, Keepalive, LogOutput, LogSettings, Settings,
};

/// etcd's upper bound of `--election-timeout`.
const ELECTION_MS_MAX: u64 = 50_000;
/// What the raft log takes in one record, less what an entry adds to the request it carries. A larger
/// request would be accepted and then stop the leader.
const REQUEST_BYTES_MAX: usize = mainstay_wal::RECORD_BYTES_MAX - (1 << 20);
/// More operations than a request of that size can hold.
const TXN_OPS_MAX: usize = 1 << 26;
/// `--auto-compaction-retention` without a unit is in hours.
const HOUR: Duration = Duration::from_secs(3600);

pub fn settings(mut values: Values) -> Result<Settings, Refusal> {
    values.judge();
    let gates = gates::read(&mut values)?;
    if values.is_set("listen-client-urls") && !values.is_set("advertise-client-urls") {
        return Err(Refusal::new(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ));
    }
    let (heartbeat, election_timeout) = timing(&values)?;
    let name = values.text("name").to_owned();
    let data_dir = data_dir(&values, &name);
    let join = state(&values)?;
    let listen_client = urls::listeners(&values, "listen-client-urls")?;
    let listen_client_http = urls::listeners(&values, "listen-client-http-urls")?;
    let listen_peer = urls::listeners(&values, "listen-peer-urls")?;
    let listen_metrics = urls::listeners(&values, "listen-metrics-urls")?;
    let client_tls = tls::client(
        &mut values,
        &[&listen_client, &listen_client_http, &listen_metrics],
    )?;
    let peer_tls = tls::peer(&mut values, &listen_peer)?;
    Ok(Settings {
        listen_client,
        listen_client_http,
        listen_peer,
        listen_metrics,
        client_tls,
        peer_tls,
        advertise_client_urls: urls::list(&values, "advertise-client-urls")?,
        initial_cluster: cluster::members(&values)?,
        initial_cluster_token: values.text("initial-cluster-token").to_owned(),
        join,
        discovery: discovery::read(&values)?,
        force_new_cluster: values.boolean("force-new-cluster"),
        intent_file: Some(values.text("membership-intent-file"))
            .filter(|file| !file.is_empty())
            .map(PathBuf::from),
        members: MemberPolicy {
            strict: values.boolean("strict-reconfig-check"),
            learners_max: usize::try_from(values.integer("max-learners")).unwrap_or(0),
        },
        wal_dir: Some(values.text("wal-dir"))
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from),
        pre_vote: values.boolean("pre-vote"),
        quota_backend_bytes: values.integer("quota-backend-bytes"),
        max_request_bytes: size(&values, "max-request-bytes", REQUEST_BYTES_MAX)?,
        max_txn_ops: size(&values, "max-txn-ops", TXN_OPS_MAX)?,
        max_concurrent_streams: u32::try_from(values.unsigned("max-concurrent-streams"))
            .unwrap_or(u32::MAX),
        keepalive: Keepalive {
            min_time: values.duration("grpc-keepalive-min-time"),
            interval: values.duration("grpc-keepalive-interval"),
            timeout: values.duration("grpc-keepalive-timeout"),
        },
        snapshot_count: values.unsigned("snapshot-count"),
        catchup_entries: values.unsigned("snapshot-catchup-entries"),
        auto_compaction: compaction(&values)?,
        corruption: corruption(&values, gates)?,
        watch_progress_interval: values.duration("watch-progress-notify-interval"),
        metrics_extensive: extensive(&values)?,
        access: access::read(&values)?,
        logins: auth::read(&values)?,
        token_ttl: auth::token_ttl(&values),
        tracing: telemetry::read(&values)?,
        unsafe_no_fsync: values.boolean("unsafe-no-fsync"),
        log: log(&mut values)?,
        heartbeat,
        election_timeout,
        name,
        data_dir,
    })
}

fn timing(values: &Values) -> Result<(Duration, Duration), Refusal> {
    let heartbeat = values.unsigned("heartbeat-interval");
    let election = values.unsigned("election-timeout");
    if heartbeat == 0 {
        return Err(Refusal::new("--heartbeat-interval must be >0 (set to 0ms)"));
    }
    if election < heartbeat.saturating_mul(5) {
        return Err(Refusal::new(format!(
            "--election-timeout[{election}ms] should be at least as 5 times as \
             --heartbeat-interval[{heartbeat}ms]"
        )));
    }
    if election > ELECTION_MS_MAX {
        return Err(Refusal::new(format!(
            "--election-timeout[{election}ms] is too long, and should be set less than \
             {ELECTION_MS_MAX}ms"
        )));
    }
    Ok((
        Duration::from_millis(heartbeat),
        Duration::from_millis(election),
    ))
}

fn data_dir(values: &Values, name: &str) -> PathBuf {
    match values.text("data-dir") {
        "" => PathBuf::from(format!("{name}.etcd")),
        given => PathBuf::from(given),
    }
}

/// Whether an empty directory joins a running cluster. One that has been started before is what it
/// is, whatever the flag says.
fn state(values: &Values) -> Result<bool, Refusal> {
    match values.text("initial-cluster-state") {
        "new" => Ok(false),
        "existing" => Ok(true),
        other => Err(Refusal::new(format!(
            "invalid value {other:?} for flag -initial-cluster-state: must be new or existing"
        ))),
    }
}

fn size(values: &Values, flag: &str, most: usize) -> Result<usize, Refusal> {
    let value = values.unsigned(flag);
    usize::try_from(value)
        .ok()
        .filter(|value| *value <= most)
        .ok_or_else(|| {
            Refusal::new(format!(
                "invalid value \"{value}\" for flag -{flag}: value out of range, at most {most}"
            ))
        })
}

fn compaction(values: &Values) -> Result<AutoCompaction, Refusal> {
    let given = values.text("auto-compaction-retention");
    let wrong = |reason: &str| {
        Refusal::new(format!(
            "invalid value {given:?} for flag -auto-compaction-retention: {reason}"
        ))
    };
    match values.text("auto-compaction-mode") {
        "periodic" => {
            let period = match go::integer(given) {
                Ok(hours) => u32::try_from(hours)
                    .map(|hours| HOUR * hours)
                    .map_err(|_| wrong("value out of range"))?,
                Err(_) => go::duration(given).map_err(wrong)?,
            };
            Ok(if period.is_zero() {
                AutoCompaction::Off
            } else {
                AutoCompaction::Periodic(period)
            })
        }
        "revision" => match go::integer(given).map_err(wrong)? {
            0 => Ok(AutoCompaction::Off),
            revisions if revisions > 0 => Ok(AutoCompaction::Revisions(revisions)),
            _ => Err(wrong("value out of range")),
        },
        other => Err(Refusal::new(format!(
            "unknown auto-compaction-mode {other:?} for flag -auto-compaction-mode"
        ))),
    }
}

fn corruption(values: &Values, gates: Gates) -> Result<CorruptionChecks, Refusal> {
    let every = values.duration("corrupt-check-time");
    let compactions = values.duration("compact-hash-check-time");
    if compactions.is_zero() {
        return Err(Refusal::new("--compact-hash-check-time must be >0"));
    }
    Ok(CorruptionChecks {
        at_start: gates.initial_corrupt_check,
        every: (!every.is_zero()).then_some(every),
        after_compaction: gates.compact_hash_check.then_some(compactions),
    })
}

fn extensive(values: &Values) -> Result<bool, Refusal> {
    match values.text("metrics") {
        "basic" => Ok(false),
        "extensive" => Ok(true),
        other => Err(Refusal::new(format!(
            "invalid value {other:?} for flag -metrics: must be basic or extensive"
        ))),
    }
}

fn log(values: &mut Values) -> Result<LogSettings, Refusal> {
    if values.text("logger") != "zap" {
        let given = values.text("logger");
        return Err(Refusal::new(format!(
            "unknown logger option {given:?} for flag -logger"
        )));
    }
    let level = match values.text("log-level") {
        level @ ("debug" | "info" | "warn" | "error") => level,
        // Above errors zap has levels that end the process; nothing here logs at them.
        "dpanic" | "panic" | "fatal" => "error",
        other => {
            return Err(Refusal::new(format!(
                "invalid value {other:?} for flag -log-level: unrecognized level"
            )));
        }
    };
    let json = match values.text("log-format") {
        "json" => true,
        "console" => false,
        other => {
            return Err(Refusal::new(format!(
                "invalid value {other:?} for flag -log-format: must be json or console"
            )));
        }
    };
    let mut outputs = Vec::new();
    for output in values.text("log-outputs").split(',').map(str::trim) {
        let output = match output {
            "default" | "stderr" => LogOutput::Stderr,
            "stdout" => LogOutput::Stdout,
            "systemd/journal" | "" => {
                return Err(Refusal::new(format!(
                    "--log-outputs is refused: {output:?}"
                )));
            }
            path => LogOutput::File(PathBuf::from(path)),
        };
        if !outputs.contains(&output) {
            outputs.push(output);
        }
    }
    let level = level.to_owned();
    let warnings = std::mem::take(&mut values.warnings);
    Ok(LogSettings {
        rotation: rotation::read(values, &outputs)?,
        level,
        outputs,
        json,
        warnings,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings as read;
    use super::*;

    fn refused(arguments: &[&str]) -> String {
        read(arguments, &[]).unwrap_err()
    }

    #[test]
    fn defaults_are_etcds() {
        let settings = read(&[], &[]).unwrap();
        assert_eq!(settings.data_dir, PathBuf::from("default.etcd"));
        let plain = |port| crate::settings::ListenUrl {
            address: ([127, 0, 0, 1], port).into(),
            tls: false,
        };
        assert_eq!(settings.listen_client, [plain(2379)]);
        assert_eq!(settings.listen_peer, [plain(2380)]);
        assert!(settings.listen_metrics.is_empty());
        let alone = (
            "default".to_owned(),
            vec!["http://localhost:2380".to_owned()],
        );
        assert_eq!(settings.initial_cluster, [alone]);
        assert_eq!(settings.max_request_bytes, 1_572_864);
        assert_eq!(settings.keepalive.interval.as_secs(), 7200);
        assert_eq!(settings.max_concurrent_streams, u32::MAX);
        assert_eq!(settings.auto_compaction, AutoCompaction::Off);
        assert_eq!(settings.log.outputs, [LogOutput::Stderr]);
        assert!(!settings.join && settings.members.strict);
        assert_eq!(settings.members.learners_max, 1);
    }

    #[test]
    fn contradictions_are_worded_as_in_etcd() {
        assert_eq!(
            refused(&["--listen-client-urls=http://127.0.0.1:1"]),
            "--advertise-client-urls is required when --listen-client-urls is set explicitly"
        );
        assert_eq!(
            refused(&["--election-timeout=499"]),
            "--election-timeout[499ms] should be at least as 5 times as --heartbeat-interval[100ms]"
        );
        assert_eq!(
            refused(&["--election-timeout=50001"]),
            "--election-timeout[50001ms] is too long, and should be set less than 50000ms"
        );
        assert!(refused(&["--listen-peer-urls=http://host:1"]).contains("expected IP in URL"));
        assert!(refused(&["--auto-compaction-mode=x"]).contains("unknown auto-compaction-mode"));
        assert!(refused(&["--initial-cluster-state=x"]).contains("initial-cluster-state"));
        assert!(refused(&["--max-request-bytes=70000000"]).contains("at most"));
        assert!(refused(&["--log-level=loud"]).contains("-log-level"));
    }

    #[test]
    fn compaction_is_by_hours_durations_or_revisions() {
        let mode = |arguments: &[&str]| read(arguments, &[]).unwrap().auto_compaction;
        let hours = mode(&["--auto-compaction-retention=2"]);
        assert_eq!(hours, AutoCompaction::Periodic(2 * HOUR));
        let minutes = mode(&["--auto-compaction-retention=10m"]);
        assert_eq!(minutes, AutoCompaction::Periodic(Duration::from_secs(600)));
        let revision = "--auto-compaction-mode=revision";
        let kept = mode(&[revision, "--auto-compaction-retention=1000"]);
        assert_eq!(kept, AutoCompaction::Revisions(1000));
        assert!(refused(&[revision, "--auto-compaction-retention=5m"]).contains("retention"));
        assert!(refused(&["--auto-compaction-retention=-1"]).contains("out of range"));
    }

    #[test]
    fn outputs_of_the_log() {
        let settings = read(&["--log-outputs=stderr,default,/tmp/x.log"], &[]).unwrap();
        let file = LogOutput::File(PathBuf::from("/tmp/x.log"));
        assert_eq!(settings.log.outputs, [LogOutput::Stderr, file]);
    }
}
