mod roles;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mainstay_proto::etcdserverpb as pb;
use tonic::transport::Endpoint;

use crate::cluster::{Cluster, Plan};
use crate::options::Options;
use crate::plain_http::{Answer, call};
use crate::ports::free_port;
use crate::raw;
use crate::target::Target;
use xtask::tally::Tally;

/// Paths and methods that both servers must answer alike in every state of the cluster.
const HEALTH: &[&str] = &[
    "/health",
    "/health?serializable=true",
    "/health?serializable=junk",
    "/health?exclude=NOSPACE",
    "/health?exclude=CORRUPT",
    "/health?exclude=NOSPACE&exclude=CORRUPT",
    "/health?exclude=unknown",
    "/livez",
    "/livez?verbose",
    "/livez?verbose=false",
    "/livez?exclude=serializable_read",
    "/livez?exclude=serializable_read&verbose",
    "/livez?exclude=unknown&verbose",
    "/livez/serializable_read",
    "/livez/serializable_read?verbose",
    "/livez/data_corruption",
    "/livez/unknown",
    "/readyz",
    "/readyz?verbose",
    "/readyz?verbose&exclude=linearizable_read",
    "/readyz?verbose&exclude=data_corruption&exclude=non_learner",
    "/readyz/data_corruption",
    "/readyz/data_corruption?verbose",
    "/readyz/serializable_read",
    "/readyz/linearizable_read",
    "/readyz/non_learner",
    "/readyz/unknown",
];
const OTHER: &[(&str, &str)] = &[
    ("HEAD", "/health"),
    ("POST", "/health"),
    ("PUT", "/health"),
    ("GET", "/version"),
    ("GET", "/nothing"),
    ("GET", "/"),
];
/// Paths on the port of `--listen-metrics-urls`, which serves nothing else.
const METRICS_PORT: &[&str] = &[
    "/health",
    "/livez",
    "/readyz?verbose",
    "/version",
    "/nothing",
];

/// Metrics that etcd's mixin (alerts and dashboard) reads, from a cluster of three.
const METRICS: &[&str] = &[
    "etcd_server_has_leader",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_proposals_failed_total",
    "etcd_server_proposals_committed_total",
    "etcd_server_proposals_applied_total",
    "etcd_server_proposals_pending",
    "etcd_server_quota_backend_bytes",
    "etcd_network_peer_round_trip_time_seconds_bucket",
    "etcd_network_peer_sent_bytes_total",
    "etcd_network_peer_received_bytes_total",
    "etcd_network_client_grpc_received_bytes_total",
    "etcd_network_client_grpc_sent_bytes_total",
    "etcd_disk_wal_fsync_duration_seconds_bucket",
    "etcd_disk_backend_commit_duration_seconds_bucket",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "grpc_server_started_total",
    "grpc_server_handled_total",
    "process_resident_memory_bytes",
];
/// The round trip of peers is probed every so often, so its metric appears late.
const METRICS_WAIT: Duration = Duration::from_secs(45);

pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    for (name, result) in [
        ("http one member", states(options).await),
        ("http metrics port", metrics_port(options).await),
        ("http on URLs of its own", split(options).await),
        ("http metrics of the mixin", metrics(options).await),
        ("http without quorum", no_quorum(options).await),
        ("http roles as they change", roles::run(options).await),
    ] {
        match result {
            Ok(since) => tally.pass(name, since),
            Err(error) => tally.fail(name, &format!("  {error:#}")),
        }
    }
    Ok(tally.close())
}

async fn pair(options: &Options, size: usize, flags: &[String]) -> Result<[Cluster; 2]> {
    let plan = |label| Plan {
        size,
        flags: flags.to_vec(),
        ..Plan::new(&options.etcd(), label, 1)
    };
    let subject = Plan {
        binary: options.subject().to_owned(),
        ..plan("subject")
    };
    let reference = plan("etcd");
    let (reference, subject) = tokio::join!(Cluster::start(&reference), Cluster::start(&subject));
    Ok([reference?, subject?])
}

/// Every path without an alarm, and with each.
async fn states(options: &Options) -> Result<Instant> {
    let since = Instant::now();
    let clusters = pair(options, 1, &[]).await?;
    let ports = clusters
        .each_ref()
        .map(|cluster| cluster.peers[0].client_port);
    decided(&ports).await?;
    for alarm in [
        pb::AlarmType::None,
        pb::AlarmType::Nospace,
        pb::AlarmType::Corrupt,
    ] {
        for cluster in &clusters {
            raise(cluster, alarm, pb::alarm_request::AlarmAction::Activate).await?;
        }
        for path in HEALTH {
            equal(ports, "GET", path, &format!("alarm {alarm:?}")).await?;
        }
        for cluster in &clusters {
            raise(cluster, alarm, pb::alarm_request::AlarmAction::Deactivate).await?;
        }
    }
    for (method, path) in OTHER {
        equal(ports, method, path, "").await?;
    }
    Ok(since)
}

async fn raise(
    cluster: &Cluster,
    alarm: pb::AlarmType,
    action: pb::alarm_request::AlarmAction,
) -> Result<()> {
    let target = Target::open(cluster).await?;
    let member_id = target
        .ids
        .lock()
        .real_member(crate::normalise::FIRST_MEMBER);
    let request = pb::AlarmRequest {
        action: action as i32,
        member_id,
        alarm: alarm as i32,
    };
    target.at(0).maintenance.clone().alarm(request).await?;
    Ok(())
}

/// Waits until the version of the cluster is no longer `not_decided`.
async fn decided(ports: &[u16; 2]) -> Result<()> {
    let deadline = Instant::now() + METRICS_WAIT;
    for port in ports {
        loop {
            let answer = call(*port, "GET", "/version").await?;
            if answer.body.contains("\"etcdcluster\":\"3.") && answer.body.contains("storage\":\"3")
            {
                break;
            }
            if Instant::now() > deadline {
                bail!("no cluster version on port {port}: {answer:?}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(())
}

async fn equal(ports: [u16; 2], method: &str, path: &str, state: &str) -> Result<()> {
    let mut answers = Vec::new();
    for port in ports {
        answers.push(tidy(call(port, method, path).await?));
    }
    if answers.first() != answers.get(1) {
        bail!(
            "{method} {path} {state}\n  reference: {:?}\n  subject:   {:?}",
            answers.first(),
            answers.get(1)
        );
    }
    Ok(())
}

/// Keeps the headers that clients read, and puts the lines of a check in one order: etcd's is free.
fn tidy(mut answer: Answer) -> Answer {
    answer
        .headers
        .retain(|name, _| ["content-type", "allow"].contains(&name.as_str()));
    if answer.body.contains("[+]") {
        let mut lines: Vec<&str> = answer.body.lines().collect();
        lines.sort_unstable();
        answer.body = lines.join("\n");
    }
    answer
}

/// A member of each product that listens on one URL more, by a flag; its port at each.
async fn with_url(options: &Options, flag: &str) -> Result<(Vec<Cluster>, [u16; 2])> {
    let mut clusters = Vec::new();
    let mut ports = [0; 2];
    for (at, binary) in [options.etcd(), options.subject().to_owned()]
        .iter()
        .enumerate()
    {
        ports[at] = free_port()?;
        let plan = Plan::new(binary, ["etcd", "subject"][at], 1);
        let plan = plan.flag(format!("{flag}=http://127.0.0.1:{}", ports[at]));
        clusters.push(Cluster::start(&plan).await?);
    }
    Ok((clusters, ports))
}

async fn metrics_port(options: &Options) -> Result<Instant> {
    let since = Instant::now();
    let (_clusters, ports) = with_url(options, "--listen-metrics-urls").await?;
    for path in METRICS_PORT {
        equal(ports, "GET", path, "on the metrics port").await?;
    }
    for port in ports {
        let answer = call(port, "GET", "/metrics").await?;
        if answer.status != 200 || !answer.body.contains("etcd_server_has_leader 1") {
            bail!("metrics port {port}: status {}", answer.status);
        }
    }
    Ok(since)
}

/// HTTP has URLs of its own: it is answered there and no longer beside gRPC, where it is cut.
async fn split(options: &Options) -> Result<Instant> {
    let since = Instant::now();
    let (clusters, ports) = with_url(options, "--listen-client-http-urls").await?;
    decided(&ports).await?;
    for path in ["/health", "/version", "/livez", "/nothing"] {
        equal(ports, "GET", path, "on the URL for HTTP").await?;
    }
    for (cluster, http) in clusters.iter().zip(ports) {
        let label = cluster.label;
        // gRPC goes on where it was: starting the cluster has read by it.
        let beside = call(cluster.peers[0].client_port, "GET", "/health").await;
        if let Ok(answer) = beside {
            bail!("{label} answers HTTP beside gRPC: {answer:?}");
        }
        let status = raw::call(
            Endpoint::from_shared(format!("http://127.0.0.1:{http}"))?.connect_lazy(),
            "/etcdserverpb.KV/Range",
            bytes::Bytes::new(),
        );
        if let Ok(answer) = status.await {
            bail!("{label} answers gRPC on the URL for HTTP: {answer:?}");
        }
    }
    Ok(since)
}

/// All names that the mixin needs appear on every member of a cluster of three. The list is known
/// to hold for etcd, which takes most of a minute to show it, so etcd is asked with `--long` only.
async fn metrics(options: &Options) -> Result<Instant> {
    let since = Instant::now();
    let mut clusters = vec![Cluster::start(&Plan::new(options.subject(), "subject", 3)).await?];
    if options.long {
        clusters.push(Cluster::start(&Plan::new(&options.etcd(), "etcd", 3)).await?);
    }
    for cluster in &clusters {
        let target = Target::open(cluster).await?;
        for member in 0..3 {
            let put = pb::PutRequest {
                key: "k".into(),
                ..Default::default()
            };
            target.at(member).kv.clone().put(put).await?;
        }
        let deadline = Instant::now() + METRICS_WAIT;
        for peer in &cluster.peers {
            loop {
                let answer = call(peer.client_port, "GET", "/metrics").await?;
                let missing = missing(&answer.body);
                if missing.is_empty() {
                    break;
                }
                if Instant::now() > deadline {
                    bail!("{} {}: without {missing:?}", cluster.label, peer.name);
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
    Ok(since)
}

fn missing(body: &str) -> Vec<&'static str> {
    let present: BTreeSet<&str> = body
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    METRICS
        .iter()
        .copied()
        .filter(|name| !present.contains(name))
        .collect()
}

/// Two of three members killed: what the third says of itself.
async fn no_quorum(options: &Options) -> Result<Instant> {
    let since = Instant::now();
    let mut clusters = pair(options, 3, &[]).await?;
    for cluster in &mut clusters {
        for at in [1, 2] {
            cluster.peers[at].kill().await?;
        }
    }
    let ports = clusters
        .each_ref()
        .map(|cluster| cluster.peers[0].client_port);
    let deadline = Instant::now() + Duration::from_secs(20);
    for port in ports {
        while call(port, "GET", "/health").await?.status == 200 {
            if Instant::now() > deadline {
                bail!("port {port} says it is healthy without a quorum");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    let paths = [
        "/health",
        "/health?serializable=true",
        "/livez?verbose",
        "/readyz?verbose",
    ];
    for path in paths
        .iter()
        .chain(&["/readyz/linearizable_read", "/readyz/serializable_read"])
    {
        equal(ports, "GET", path, "without quorum").await?;
    }
    Ok(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_is_only_described_is_missing() {
        let body = "# TYPE etcd_server_has_leader gauge\netcd_mvcc_db_total_size_in_bytes 1\n";
        let missing = missing(body);
        assert!(missing.contains(&"etcd_server_has_leader"));
        assert!(!missing.contains(&"etcd_mvcc_db_total_size_in_bytes"));
    }
}
