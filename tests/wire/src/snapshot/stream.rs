//! The messages of the stream itself, by the same rules for both products.

use anyhow::{Context, Result, ensure};
use mainstay_proto::etcdserverpb as pb;

use super::tools::Tools;
use super::{Product, fill};
use crate::cluster::Cluster;

/// Bytes of a database in one message, but for the last.
const BLOB_BYTES: usize = 32 * 1024;
/// Bytes of the checksum, which has the last message to itself.
const CHECKSUM_BYTES: usize = 32;

pub async fn run(tools: &Tools) -> Result<()> {
    for product in [Product::Etcd, Product::Mainstay] {
        let cluster = Cluster::start(&product.plan(tools, 1)).await?;
        fill::rich(&cluster).await?;
        let messages = messages(&cluster).await?;
        check(&messages).with_context(|| format!("{product:?}"))?;
    }
    Ok(())
}

async fn messages(cluster: &Cluster) -> Result<Vec<pb::SnapshotResponse>> {
    let mut connection = cluster.connect(0).await?;
    let stream = connection.maintenance.snapshot(pb::SnapshotRequest {});
    let mut stream = stream.await?.into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    Ok(messages)
}

fn check(messages: &[pb::SnapshotResponse]) -> Result<()> {
    let (checksum, data) = messages.split_last().context("no message")?;
    let (last, full) = data.split_last().context("no data")?;
    ensure!(
        checksum.blob.len() == CHECKSUM_BYTES,
        "{} bytes",
        checksum.blob.len()
    );
    ensure!(
        checksum.remaining_bytes == 0 && last.remaining_bytes == 0,
        "something remains"
    );
    ensure!(full.len() > 8, "{} messages", full.len());
    ensure!(
        full.iter().all(|message| message.blob.len() == BLOB_BYTES),
        "an odd blob"
    );
    ensure!((1..=BLOB_BYTES).contains(&last.blob.len()), "the last blob");
    let mut left: usize = data.iter().map(|message| message.blob.len()).sum();
    for message in data {
        left -= message.blob.len();
        ensure!(message.remaining_bytes == left as u64, "{left} remain");
    }
    for message in messages {
        ensure!(message.version == "3.7.0", "version {:?}", message.version);
        ensure!(message.header.is_none(), "a header");
    }
    Ok(())
}
