//! `--grpc-keepalive-min-time` and `--max-concurrent-streams`: what a client is told that passes them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mainstay_proto::etcdserverpb as pb;
use prost::Message;

use super::alike;
use super::frames::{Client, DATA, Frame, GOAWAY, PING, RESET, SETTINGS};
use crate::cluster::{Cluster, Plan};
use crate::options::Options;

const WATCH: &str = "/etcdserverpb.Watch/Watch";
/// More pings than any client gets by with.
const PINGS: usize = 10;
/// The least time between two pings in the second half, and what a client that keeps to it takes.
const MIN_TIME: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_millis(200);

/// How many pings were sent, and with what the connection ended.
type Pinged = (usize, Option<(u32, String)>);

pub async fn pings(options: &Options) -> Result<()> {
    let calm = Some((11, "too_many_pings".to_owned()));
    let hurried = alike(options, async |binary: &Path, label| {
        let cluster = Cluster::start(&Plan::new(binary, label, 1)).await?;
        let port = cluster.peers[0].client_port;
        Ok([
            pinged(port, false, Duration::ZERO).await?,
            pinged(port, true, Duration::ZERO).await?,
        ])
    })
    .await?;
    if hurried != [(4, calm.clone()), (4, calm.clone())] {
        bail!("without a pause: {hurried:?}");
    }
    let patient = alike(options, async |binary: &Path, label| {
        let flag = format!("--grpc-keepalive-min-time={}ms", MIN_TIME.as_millis());
        let cluster = Cluster::start(&Plan::new(binary, label, 1).flag(flag)).await?;
        let port = cluster.peers[0].client_port;
        Ok([
            pinged(port, false, PATIENCE).await?,
            pinged(port, true, PATIENCE).await?,
            pinged(port, true, Duration::ZERO).await?,
        ])
    })
    .await?;
    // Patience is of no avail without a call that is to be kept alive.
    if patient != [(4, calm.clone()), (PINGS, None), (4, calm)] {
        bail!("with {PATIENCE:?} between pings: {patient:?}");
    }
    Ok(())
}

fn watch() -> Vec<u8> {
    let create = pb::WatchCreateRequest {
        key: "k".into(),
        ..Default::default()
    };
    let union = pb::watch_request::RequestUnion::CreateRequest(create);
    let request = pb::WatchRequest {
        request_union: Some(union),
    };
    request.encode_to_vec()
}

/// Pings with a pause after each answer, while a watch is open or without one.
async fn pinged(port: u16, watching: bool, pause: Duration) -> Result<Pinged> {
    let mut client = Client::connect(port).await?;
    let settled = |frame: &Frame| frame.kind == SETTINGS && frame.is_ack();
    let mut ended = until(&mut client, settled).await?;
    if watching {
        client.call(1, WATCH, &watch()).await?;
        ended = until(&mut client, |frame| frame.kind == DATA).await?;
    }
    if let Some(end) = ended {
        bail!("before any ping: {end:?}");
    }
    for sent in 1..=PINGS {
        client.send(PING, 0, 0, b"pingpong").await?;
        let answer = |frame: &Frame| frame.kind == PING && frame.is_ack();
        let mut ended = until(&mut client, answer).await?;
        if ended.is_none() {
            tokio::time::sleep(pause).await;
            // grpc-go answers the last ping too: what it says behind that comes before this.
            client.send(SETTINGS, 0, 0, &[]).await?;
            ended = until(&mut client, settled).await?;
        }
        if ended.is_some() {
            return Ok((sent, ended));
        }
    }
    Ok((PINGS, None))
}

/// Reads until a frame is the right one; or returns the code and the reason of a GOAWAY.
async fn until(
    client: &mut Client,
    right: impl Fn(&Frame) -> bool,
) -> Result<Option<(u32, String)>> {
    loop {
        let frame = client.receive().await?;
        let ended = end(&frame);
        if ended.is_some() || right(&frame) {
            return Ok(ended);
        }
    }
}

fn end(frame: &Frame) -> Option<(u32, String)> {
    if frame.kind != GOAWAY {
        return None;
    }
    let reason = frame.payload.get(8..).unwrap_or_default();
    Some((
        frame.number(4)?,
        String::from_utf8_lossy(reason).into_owned(),
    ))
}

pub async fn streams(options: &Options) -> Result<()> {
    const MAX: u32 = 3;
    let refused = alike(options, async |binary: &Path, label| {
        let plan = Plan::new(binary, label, 1).flag(format!("--max-concurrent-streams={MAX}"));
        let cluster = Cluster::start(&plan).await?;
        let mut client = Client::connect(cluster.peers[0].client_port).await?;
        let settings = loop {
            let frame = client.receive().await?;
            if frame.kind == SETTINGS && !frame.is_ack() {
                break frame.max_streams();
            }
        };
        client.send(SETTINGS, super::frames::ACK, 0, &[]).await?;
        for at in 0..=MAX {
            client.call(2 * at + 1, WATCH, &watch()).await?;
        }
        let reset = loop {
            let frame = client.receive().await?;
            if frame.kind == RESET {
                break (frame.stream, frame.number(0).context("a code")?);
            }
        };
        Ok((settings, reset))
    })
    .await?;
    // The one too many is refused (code 7), so that its client may send it elsewhere.
    if refused != (Some(MAX), (2 * MAX + 1, 7)) {
        bail!("{refused:?}");
    }
    Ok(())
}
