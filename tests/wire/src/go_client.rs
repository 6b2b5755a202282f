use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mainstay_proto::etcdserverpb::{RangeRequest, kv_client::KvClient};
use tokio::process::Command;

use crate::cluster::{Cluster, Plan};
use crate::options::Options;
use xtask::tally::Tally;

/// Longest run of one load; each takes a few seconds on two cores.
const LOAD_WAIT: Duration = Duration::from_secs(90);

/// A load of `benchmark`, and how far it moves the store's revision.
struct Load {
    line: &'static str,
    revisions: Moves,
}

enum Moves {
    Nothing,
    Exactly(i64),
    /// How many of the requests write is drawn by the load.
    Some,
}

/// Every load that etcd's `benchmark` has for the public API, so every way in which its Go client
/// batches, retries and streams.
const LOADS: &[Load] = &[
    load(
        "put --total=2000 --val-size=256 --sequential-keys --key-space-size=2000",
        Moves::Exactly(2000),
    ),
    load("range foo --total=2000", Moves::Nothing),
    load("range foo --total=2000 --consistency=s", Moves::Nothing),
    load("range foo fop --total=200 --count-only", Moves::Nothing),
    load(
        "range foo fop --total=200 --keys-only --limit=10",
        Moves::Nothing,
    ),
    load("range foo fop --total=200 --stream", Moves::Nothing),
    load(
        "txn-put --total=500 --txn-ops=8 --key-space-size=1000",
        Moves::Exactly(500),
    ),
    load("txn-mixed --total=500 --key-space-size=100", Moves::Some),
    load("stm --total=300 --keys=10 --keys-per-txn=2", Moves::Some),
    load(
        "stm --total=300 --keys=10 --isolation=s --stm-locker=lock-client",
        Moves::Some,
    ),
    load(
        "watch --streams=5 --watch-per-stream=20 --watched-key-total=10 --put-total=300",
        Moves::Some,
    ),
    load(
        "watch-latency --streams=5 --watchers-per-stream=5 --put-total=200 --put-rate=200 --prevkv",
        Moves::Exactly(200),
    ),
    load(
        "watch-get --watchers=200 --streams=4 --events=8",
        Moves::Some,
    ),
    load("lease-keepalive --total=500", Moves::Nothing),
];

const fn load(line: &'static str, revisions: Moves) -> Load {
    Load { line, revisions }
}

/// Runs every load on three members of the server under test.
pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    let benchmark = options.peer("benchmark")?;
    let cluster = Cluster::start(&Plan::new(options.subject(), "subject", 3)).await?;
    for load in LOADS.iter().filter(|load| options.wants(load.line)) {
        let since = Instant::now();
        let name = format!("benchmark {}", load.line);
        match play(&benchmark, &cluster, load).await {
            Ok(()) => tally.pass(&name, since),
            Err(error) => tally.fail(&name, &format!("  {error:#}")),
        }
    }
    drop(cluster);
    Ok(tally.close())
}

async fn play(benchmark: &Path, cluster: &Cluster, load: &Load) -> Result<()> {
    let before = revision(cluster).await?;
    let mut command = Command::new(benchmark);
    command
        .args(load.line.split(' '))
        .args(["--conns=4", "--clients=16", "--endpoints"])
        .arg(cluster.endpoints())
        .kill_on_drop(true);
    let done = tokio::time::timeout(LOAD_WAIT, command.output()).await;
    let done = done.context("it does not end")??;
    let (out, err) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    if !done.status.success() || out.contains("Error distribution") || !answered(&out) {
        bail!("{}\n{out}\n{err}", done.status);
    }
    let moved = revision(cluster).await? - before;
    let right = match load.revisions {
        Moves::Nothing => moved == 0,
        Moves::Exactly(count) => moved == count,
        Moves::Some => moved > 0,
    };
    if !right {
        bail!("the store's revision moved by {moved}");
    }
    Ok(())
}

/// Whether the last summary counts requests that were answered.
fn answered(out: &str) -> bool {
    let rate = out
        .rsplit_once("Requests/sec:")
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<f64>().ok());
    rate.is_some_and(|rate| rate > 0.0)
}

async fn revision(cluster: &Cluster) -> Result<i64> {
    let peer = cluster.peers.first().context("no member")?;
    let mut kv = KvClient::connect(peer.client_url()).await?;
    let request = RangeRequest {
        key: "revision".into(),
        ..RangeRequest::default()
    };
    let header = kv.range(request).await?.into_inner().header;
    Ok(header.context("no header")?.revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_answers_does_not_pass() {
        assert!(answered("Summary:\n  Requests/sec:\t12.5\n"));
        assert!(!answered("Summary:\n  Requests/sec:\t0.0000\n"));
        assert!(!answered("dial error"));
    }
}
