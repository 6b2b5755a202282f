//! Watches on a member that gets a snapshot.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use mainstay_proto::etcdserverpb as pb;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{COMPACT_DISTANCE, Run};
use crate::{bulk, cluster::HEAL_TIMEOUT, connection::Connection, convert};

/// Puts that carry a paused member beyond the end of the log.
const PUTS: u64 = 6000;

/// Reading events that are there.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Revision and key of an event.
type Told = (i64, Bytes);

struct Watch {
    _requests: mpsc::Sender<pb::WatchRequest>,
    responses: Streaming<pb::WatchResponse>,
}

impl Watch {
    /// On all keys.
    async fn open(connection: &Connection, from: i64) -> anyhow::Result<Watch> {
        let create = pb::WatchCreateRequest {
            key: convert::text("\0"),
            range_end: convert::text("\0"),
            start_revision: from,
            ..Default::default()
        };
        let (sender, receiver) = mpsc::channel(1);
        sender
            .send(pb::WatchRequest {
                request_union: Some(pb::watch_request::RequestUnion::CreateRequest(create)),
            })
            .await?;
        let requests = ReceiverStream::new(receiver);
        let mut responses = connection.watch().watch(requests).await?.into_inner();
        let first = responses.message().await?.context("no answer")?;
        if !first.created {
            bail!("the first answer is {first:?}");
        }
        Ok(Watch {
            _requests: sender,
            responses,
        })
    }

    async fn next(&mut self) -> anyhow::Result<pb::WatchResponse> {
        let next = timeout(READ_TIMEOUT, self.responses.message()).await;
        next.context("no event in time")??.context("stream ended")
    }

    /// Every event up to a revision.
    async fn through(&mut self, revision: i64) -> anyhow::Result<Vec<Told>> {
        let mut told: Vec<Told> = Vec::new();
        while told.last().is_none_or(|(at, _)| *at < revision) {
            let response = self.next().await?;
            if response.canceled {
                bail!("canceled, compacted at {}", response.compact_revision);
            }
            for event in response.events {
                let kv = event.kv.context("no key")?;
                told.push((kv.mod_revision, kv.key));
            }
        }
        Ok(told)
    }

    /// Events may come first, then the watch is cancelled for this compaction.
    async fn until_compacted(&mut self, compacted: i64) -> anyhow::Result<()> {
        loop {
            let response = self.next().await?;
            if response.canceled && response.compact_revision == compacted {
                return Ok(());
            }
            if response.canceled {
                bail!("cancelled for {}", response.compact_revision);
            }
        }
    }
}

/// The events of a range of revisions.
pub async fn events(connection: &Connection, from: i64, to: i64) -> anyhow::Result<Vec<Told>> {
    Watch::open(connection, from).await?.through(to).await
}

/// A watch from `from` is cancelled for this compaction.
pub async fn is_compacted(
    connection: &Connection,
    from: i64,
    compacted: i64,
) -> anyhow::Result<()> {
    let mut watch = Watch::open(connection, from).await?;
    watch.until_compacted(compacted).await
}

/// Watches are open on the receiver; it sleeps through more writes than the log keeps, and a
/// compaction. One watch has then missed events that nobody has any more: it is cancelled. One
/// waits for a revision above: it gets everything from there on.
pub async fn through_an_install(run: &mut Run) -> anyhow::Result<()> {
    let (receiver, other) = (run.receiver, run.others[0]);
    let before = run.lines("installing a snapshot");
    let now = run.revision(receiver).await?;
    let mut behind = Watch::open(&run.connections[receiver], now + 1).await?;
    let from = now + PUTS as i64;
    let mut ahead = Watch::open(&run.connections[receiver], from).await?;
    let position = run.position(receiver).await?;
    run.cluster.members[receiver].pause()?;
    let serving = run.others.clone();
    run.cluster.wait_serving(&serving, HEAL_TIMEOUT).await?;
    let others = [
        run.connections[serving[0]].clone(),
        run.connections[serving[1]].clone(),
    ];
    bulk::fill(&others, &run.pool, "asleep", PUTS / 2).await?;
    let compacted = run.compact(other, COMPACT_DISTANCE).await?;
    bulk::fill(&others, &run.pool, "deeper", PUTS).await?;
    run.wait_cut(position).await?;
    run.cluster.members[receiver].resume()?;
    run.wait_line("installing a snapshot", before).await?;
    let newest = run.revision(receiver).await?;
    behind.until_compacted(compacted).await?;
    let told = ahead.through(newest).await?;
    let truth = events(&run.connections[other], from, newest).await?;
    match told == truth {
        true => Ok(()),
        false => bail!("{} events came of {}", told.len(), truth.len()),
    }
}
