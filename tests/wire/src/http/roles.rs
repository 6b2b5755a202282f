//! `/member`, which etcd does not have: what it tells must be what `Status` tells, and a change must
//! come by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mainstay_proto::etcdserverpb as pb;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cluster::{Cluster, Plan};
use crate::options::Options;
use crate::plain_http::call;

/// A change of leader is told within this time, however slow the machine is; a line comes by itself
/// after ten seconds.
const LINE_WAIT: Duration = Duration::from_secs(15);
/// A member with an open watch stops as quickly as one without.
const STOP_LIMIT: Duration = Duration::from_secs(8);

/// The lines of one member.
struct Lines(BufReader<TcpStream>);

impl Lines {
    async fn open(port: u16) -> Result<Lines> {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = "GET /member?watch=true HTTP/1.1\r\nHost: a\r\n\r\n";
        socket.write_all(request.as_bytes()).await?;
        Ok(Lines(BufReader::new(socket)))
    }

    /// The next line; heads and sizes of chunks are passed over. `None` at the end.
    async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            let mut line = String::new();
            let read = timeout(LINE_WAIT, self.0.read_line(&mut line)).await;
            // A connection that is cut has ended as well.
            if read.context("no line has come")?.unwrap_or(0) == 0 {
                return Ok(None);
            }
            if line.starts_with('{') {
                return Ok(Some(serde_json::from_str(&line)?));
            }
        }
    }

    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let line = self.next().await?.context("the stream has ended")?;
            if wanted(&line) {
                return Ok(line);
            }
        }
    }
}

pub async fn run(options: &Options) -> Result<Instant> {
    let since = Instant::now();
    let plan = Plan::new(options.subject(), "subject", 3);
    let mut cluster = Cluster::start(&plan).await?;
    let mut connections = Vec::new();
    let mut ids = Vec::new();
    let mut leader = 0;
    for at in 0..3 {
        let connection = cluster.connect(at).await?;
        let request = pb::StatusRequest::default();
        let status = connection.maintenance.clone().status(request).await?;
        let status = status.into_inner();
        let own = status.header.context("a header")?.member_id;
        let leads = status.leader == own;
        let told = page(cluster.peers[at].client_port).await?;
        let role = if leads { "leader" } else { "follower" };
        if told["id"] != format!("{own:x}") || told["role"] != role {
            bail!(
                "Status names leader {:x}, the page says {told}",
                status.leader
            );
        }
        leader = if leads { at } else { leader };
        ids.push(own);
        connections.push(connection);
    }
    let mut lines = Vec::new();
    for peer in &cluster.peers {
        lines.push(Lines::open(peer.client_port).await?);
    }
    let next = (leader + 1) % 3;
    let first = lines[next].until(|line| line["role"] == "follower").await?;
    let request = pb::MoveLeaderRequest {
        target_id: ids[next],
    };
    connections[leader]
        .maintenance
        .clone()
        .move_leader(request)
        .await?;
    let led = lines[next].until(|line| line["role"] == "leader").await?;
    if led["term"].as_u64() <= first["term"].as_u64() {
        bail!("the leader of a later term follows {first}, not {led}");
    }
    let new = format!("{:x}", ids[next]);
    lines[leader]
        .until(|line| line["role"] == "follower" && line["leader"] == *new)
        .await?;
    drop(connections);
    alone(&mut cluster, &mut lines, next).await?;
    Ok(since)
}

/// The others of `left` stop: their streams end, and it no longer has a leader to name.
async fn alone(cluster: &mut Cluster, lines: &mut [Lines], left: usize) -> Result<()> {
    for at in (0..3).filter(|at| *at != left) {
        let begun = Instant::now();
        cluster.peers[at].terminate().await?;
        if begun.elapsed() > STOP_LIMIT {
            bail!("member {at} took {:?} to stop", begun.elapsed());
        }
        while lines[at].next().await?.is_some() {}
    }
    let told = lines[left].until(|line| line["role"] == "none").await?;
    match told["leader"].is_null() {
        true => Ok(()),
        false => bail!("without a quorum there is no leader: {told}"),
    }
}

async fn page(port: u16) -> Result<Value> {
    let answer = call(port, "GET", "/member").await?;
    serde_json::from_str(&answer.body).with_context(|| format!("{answer:?}"))
}
