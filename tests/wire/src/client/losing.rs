//! Answers that never come, and members that go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use mainstay_client::{Client, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Site, soon};
use crate::ports::free_port;

/// Stands between a client and a member and, when told to, lets requests pass and no answer.
struct Between {
    port: u16,
    mute: Arc<AtomicBool>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Between {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Between {
    async fn start(member: u16) -> Result<Between> {
        let port = free_port()?;
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let mute = Arc::new(AtomicBool::new(false));
        let silent = mute.clone();
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, member, silent.clone()));
            }
        });
        Ok(Between {
            port,
            mute,
            serving,
        })
    }
}

async fn carry(client: TcpStream, member: u16, mute: Arc<AtomicBool>) -> std::io::Result<()> {
    let member = TcpStream::connect(("127.0.0.1", member)).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_member, mut to_member) = member.into_split();
    let there = tokio::io::copy(&mut from_client, &mut to_member);
    let back = async {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = from_member.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            if !mute.load(Ordering::SeqCst) {
                to_client.write_all(&buffer[..read]).await?;
            }
        }
    };
    // Both ways end together, as a connection that is cut does.
    tokio::select! {
        done = there => done.map(|_| ()),
        done = back => done,
    }
}

/// A write whose answer is lost is done once and reported as not known; a read goes elsewhere.
pub async fn answers(site: &mut Site<'_>) -> Result<()> {
    let between = Between::start(site.cluster.peers[0].client_port).await?;
    let client = Client::builder()
        .endpoint(format!("127.0.0.1:{}", between.port))
        .deadline(Duration::from_secs(3))
        .build()?;
    client.put("k", "before").await?;
    between.mute.store(true, Ordering::SeqCst);
    match client.put("k", "lost").await {
        Err(error @ Error::OutcomeUnknown { .. }) => ensure!(error.may_have_happened()),
        other => bail!("a write without an answer: {other:?}"),
    }
    match client.get("k").await {
        Err(error @ Error::Deadline { .. }) => ensure!(!error.may_have_happened()),
        other => bail!("a read without an answer: {other:?}"),
    }
    let direct = site.client_of(1)?;
    let found = direct.get("k").await?;
    let kv = found.first();
    ensure!(
        kv.is_some_and(|kv| kv.value == "lost" && kv.version == 2),
        "it was to be done once: {kv:?}"
    );
    let both = Client::builder()
        .endpoint(format!("127.0.0.1:{}", between.port))
        .endpoint(site.cluster.peers[1].client_url())
        .deadline(Duration::from_secs(6))
        .build()?;
    for _ in 0..4 {
        both.get("k").await?;
    }
    Ok(())
}

/// With one of three members dead calls go on; with none left nothing is sent and that is said.
pub async fn members(site: &mut Site<'_>) -> Result<()> {
    let client = site.client()?;
    client.put("k", "0").await?;
    for round in 0..3 {
        site.cluster.peers[round].kill().await?;
        let value = format!("{round}");
        soon(
            "a write without one member",
            super::put_surely(&client, "k", &value),
        )
        .await??;
        let found = client.get("k").await?;
        ensure!(found.first().is_some_and(|kv| kv.value == value));
        site.cluster.peers[round].restart()?;
        site.cluster.ready().await?;
    }
    for peer in &mut site.cluster.peers {
        peer.kill().await?;
    }
    // What the dead connections still carry ends first.
    let _ = client.get("k").within(Duration::from_secs(2)).await;
    let alone = client
        .put("k", "nobody")
        .within(Duration::from_secs(2))
        .await;
    ensure!(
        matches!(alone, Err(Error::Unreachable { .. })),
        "a write that nobody can take: {alone:?}"
    );
    Ok(())
}
