//! Members that hold different data: all restored a backup, but one of them another one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mainstay_proto::etcdserverpb as pb;
use tonic::Code;

use super::Product;
use super::tools::Tools;
use crate::cluster::Cluster;

const SEEN_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// The member that got the other backup.
const ODD: usize = 2;

/// The leader compares all keys every second. A member that differs does not serve again.
pub async fn by_the_clock(tools: &Tools) -> Result<()> {
    for product in [Product::Etcd, Product::Mainstay] {
        let mut cluster = odd_one_out(tools, product, &["--corrupt-check-time=1s"]).await?;
        let told = alarmed(&cluster).await.context(format!("{product:?}"))?;
        if product == Product::Mainstay {
            ensure!(told == ODD, "member {told} was accused");
            refuses_to_start(&mut cluster).await?;
        }
    }
    Ok(())
}

/// The leader compares what a compaction left.
pub async fn after_compaction(tools: &Tools) -> Result<()> {
    let flags = [
        "--feature-gates=CompactHashCheck=true",
        "--compact-hash-check-time=1s",
    ];
    for product in [Product::Etcd, Product::Mainstay] {
        let cluster = odd_one_out(tools, product, &flags).await?;
        let mut first = cluster.connect(0).await?;
        let put = pb::PutRequest {
            key: "k".into(),
            ..Default::default()
        };
        let header = first.kv.put(put).await?.into_inner().header;
        let compact = pb::CompactionRequest {
            revision: header.unwrap_or_default().revision,
            physical: true,
        };
        first.kv.compact(compact).await?;
        let told = alarmed(&cluster).await.context(format!("{product:?}"))?;
        ensure!(told == ODD, "{product:?}: member {told} was accused");
    }
    Ok(())
}

/// Three members of which the last began with another value of one key.
async fn odd_one_out(tools: &Tools, product: Product, flags: &[&str]) -> Result<Cluster> {
    let dir = tempfile::tempdir()?;
    let (usual, odd) = (dir.path().join("usual.db"), dir.path().join("odd.db"));
    for (value, file) in [("a", &usual), ("b", &odd)] {
        let source = Cluster::start(&product.plan(tools, 1)).await?;
        let put = pb::PutRequest {
            key: "k".into(),
            value: value.into(),
            ..Default::default()
        };
        source.connect(0).await?.kv.put(put).await?;
        tools.save(&source, file).await?;
    }
    let mut plan = product.plan(tools, 3);
    for flag in flags {
        plan = plan.flag(*flag);
    }
    Cluster::start_on(&plan, async |seat| {
        let file = if seat.name == format!("m{ODD}") {
            &odd
        } else {
            &usual
        };
        tools.restore(product, file, seat, &[]).await
    })
    .await
}

/// Waits for the alarm, which must stop writes and not reads; returns whom it accuses.
async fn alarmed(cluster: &Cluster) -> Result<usize> {
    let mut first = cluster.connect(0).await?;
    let deadline = Instant::now() + SEEN_WITHIN;
    let accused = loop {
        let alarms = first.maintenance.alarm(pb::AlarmRequest::default()).await?;
        if let Some(alarm) = alarms.into_inner().alarms.first() {
            ensure!(
                alarm.alarm == i32::from(pb::AlarmType::Corrupt),
                "{alarm:?}"
            );
            break alarm.member_id;
        }
        ensure!(Instant::now() < deadline, "no alarm within {SEEN_WITHIN:?}");
        tokio::time::sleep(POLL).await;
    };
    let refused = first.kv.put(pb::PutRequest {
        key: "k".into(),
        ..Default::default()
    });
    match refused.await {
        Err(status) if status.code() == Code::DataLoss => {}
        other => bail!("a write after the alarm: {other:?}"),
    }
    let read = pb::RangeRequest {
        key: "k".into(),
        ..Default::default()
    };
    first
        .kv
        .range(read)
        .await
        .context("a read after the alarm")?;
    for member in 0..cluster.peers.len() {
        let status = cluster
            .connect(member)
            .await?
            .maintenance
            .status(pb::StatusRequest {})
            .await?;
        let header = status.into_inner().header.unwrap_or_default();
        if header.member_id == accused {
            return Ok(member);
        }
    }
    bail!("member {accused:x} is accused, which is none of them")
}

/// With the check at the start switched on, the one that differs ends, and says why.
async fn refuses_to_start(cluster: &mut Cluster) -> Result<()> {
    let peer = &mut cluster.peers[ODD];
    peer.kill().await?;
    peer.add_flag("--feature-gates=InitialCorruptCheck=true");
    peer.restart()?;
    let deadline = Instant::now() + SEEN_WITHIN;
    let status = loop {
        if let Some(status) = peer.ended()? {
            break status;
        }
        ensure!(
            Instant::now() < deadline,
            "it serves what nobody else holds"
        );
        tokio::time::sleep(POLL).await;
    };
    let log = peer.log_tail(5);
    ensure!(
        status.code() == Some(1) && log.contains("found data inconsistency with peers"),
        "{status}: {log}"
    );
    // A member that agrees with the majority starts as ever.
    let other = &mut cluster.peers[0];
    other.kill().await?;
    other.add_flag("--feature-gates=InitialCorruptCheck=true");
    other.restart()?;
    cluster.peers.truncate(ODD);
    cluster.ready().await
}
