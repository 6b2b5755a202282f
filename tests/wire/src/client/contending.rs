use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mainstay_client::Error;
use mainstay_client::kv::Op;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{Site, soon};

const TTL: Duration = Duration::from_secs(5);

/// One holder at a time, in turn, ours and etcdctl's; and a fence that keeps out who held it before.
pub async fn locks(site: &mut Site<'_>) -> Result<()> {
    let client = site.client()?;
    let holders = Arc::new(AtomicUsize::new(0));
    let mut contenders = Vec::new();
    for _ in 0..8 {
        let (client, holders) = (site.client()?, holders.clone());
        contenders.push(tokio::spawn(async move {
            let lease = client.lease(TTL).await?;
            for _ in 0..3 {
                let lock = client.lock("l", &lease).await?;
                ensure!(holders.fetch_add(1, Ordering::SeqCst) == 0, "two hold it");
                client
                    .txn()
                    .when(lock.fence())
                    .then(Op::put("guarded", "1"))
                    .await?;
                holders.fetch_sub(1, Ordering::SeqCst);
                lock.unlock().await?;
            }
            Ok(lease.revoke().await?)
        }));
    }
    for contender in contenders {
        soon("a contender", contender).await???;
    }
    ensure!(
        client
            .get("guarded")
            .await?
            .first()
            .is_some_and(|kv| kv.version == 24)
    );

    let lease = client.lease(TTL).await?;
    let lock = client.lock("l", &lease).await?;
    let mut etcdctl = tokio::process::Command::new(site.options.peer("etcdctl")?)
        .args(site.cluster.command_flags())
        .args(["lock", "l"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(etcdctl.stdout.take().context("stdout")?).lines();
    while client.get("l/").prefix().await?.count < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let fence = lock.fence();
    lock.unlock().await?;
    let line = soon("etcdctl's turn", lines.next_line()).await??;
    ensure!(line.is_some_and(|line| line.starts_with("l/")));
    let late = client.txn().when(fence).then(Op::put("guarded", "late"));
    ensure!(
        !late.await?.succeeded,
        "a fence must keep out the holder of before"
    );
    let waiting = client.lock("l", &lease);
    tokio::select! {
        held = waiting => anyhow::bail!("etcdctl holds it: {held:?}"),
        () = tokio::time::sleep(Duration::from_millis(300)) => {}
    }
    etcdctl.kill().await?;
    Ok(())
}

/// A leader is followed when it resigns and when it dies, and is seen by all.
pub async fn elections(site: &mut Site<'_>) -> Result<()> {
    let (one, two) = (site.client()?, site.client()?);
    let (first, second) = (one.lease(TTL).await?, two.lease(TTL).await?);
    let mut observer = site.client()?.election("e").observe();
    ensure!(observer.next().await?.is_none());
    let reign = one.election("e").campaign("first", &first).await?;
    let seen = soon("the first", observer.next()).await??;
    ensure!(seen.is_some_and(|leader| leader.value == "first"));
    reign.proclaim("still first").await?;
    let seen = soon("its word", observer.next()).await??;
    ensure!(seen.is_some_and(|leader| leader.value == "still first"));
    let rival = two.election("e");
    let campaign = tokio::spawn(async move {
        let reign = rival.campaign("second", &second).await;
        (reign, second)
    });
    while one.get("e/").prefix().await?.count < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    reign.resign().await?;
    let (reign, second) = soon("the second", campaign).await??;
    let reign = reign?;
    let leader = one.election("e").leader().await?;
    ensure!(leader.is_some_and(|leader| leader.value == "second" && leader.lease == second.id()));
    second.revoke().await?;
    match reign.proclaim("too late").await {
        Err(Error::LeaseLost { .. } | Error::Refused { .. }) => {}
        other => anyhow::bail!("a leader without a lease: {other:?}"),
    }
    ensure!(one.election("e").leader().await?.is_none());
    Ok(())
}
