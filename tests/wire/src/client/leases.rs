use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mainstay_client::Error;

use super::{Site, soon};

/// Outlives the choice of a new leader, also where two cores carry everything.
const LONG: Duration = Duration::from_secs(15);

/// Leases granted by one member after the other, each asked for at once.
const FRESH: usize = 100;

/// Rounds of load beside them, of 800 KiB each: far below etcd's quota of 2 GB.
const LOAD: usize = 300;

/// A lease that a member has granted is one for every member from then on, also while the leader has
/// more to apply than the one that granted it.
pub async fn fresh(site: &mut Site<'_>) -> Result<()> {
    let busy = site.client()?;
    let load = tokio::spawn(async move {
        let value = vec![b'v'; 200 << 10];
        for at in 0..LOAD {
            let keys = (at * 4..at * 4 + 4).map(|key| key % 64);
            let puts = keys.map(|key| busy.put(format!("load/{key}"), value.clone()).into_future());
            if futures::future::try_join_all(puts).await.is_err() {
                return;
            }
        }
    });
    let doors = site.cluster.peers.iter().map(|peer| peer.client_url());
    let checked = futures::future::try_join_all(doors.map(granted_and_known)).await;
    load.abort();
    checked.map(drop)
}

async fn granted_and_known(door: String) -> Result<()> {
    let mut client = etcd_client::Client::connect([&door], None).await?;
    for at in 0..FRESH {
        let what = || format!("lease {at} of {door}");
        let id = client.lease_grant(60, None).await?.id();
        let left = client.lease_time_to_live(id, None).await?.ttl();
        ensure!(left > 0, "{}: {left} s left", what());
        let listed = client.leases().await?;
        let listed = listed.leases().iter().any(|lease| lease.id() == id);
        ensure!(listed, "{}: not in the list", what());
        let id = client.lease_grant(60, None).await?.id();
        client.lease_keep_alive(id).await.with_context(what)?;
        client.lease_revoke(id).await?;
        let renewed = client.lease_keep_alive(id).await;
        ensure!(renewed.is_err(), "{}: renewed after its end", what());
    }
    Ok(())
}

/// A lease outlives its time while its handle lives, and says when it is lost.
pub async fn all(site: &mut Site<'_>) -> Result<()> {
    let client = site.client()?;
    let ttl = Duration::from_secs(2);
    let kept = client.lease(ttl).await?;
    let dropped = client.lease(ttl).await?;
    client.put("kept", "1").lease(kept.id()).await?;
    client.put("dropped", "1").lease(dropped.id()).await?;
    let mut watch = client.watch("dropped").without_puts().await?;
    drop(dropped);
    // It lasts as long as a lease lives that nobody renews, and the other must live through it.
    loop {
        let seen = soon("the end of the lease", watch.next()).await?;
        if let Some(mainstay_client::watch::Seen::Events { .. }) = seen.transpose()? {
            break;
        }
    }
    ensure!(kept.is_held() && client.get("kept").await?.count == 1);
    kept.revoke().await?;
    ensure!(client.get("kept").await?.count == 0);
    // Members come and go meanwhile; one that leads is missed for longer than a short lease lives.
    let kept = client.lease(LONG).await?;
    client.put("kept", "1").lease(kept.id()).await?;
    for member in 0..3 {
        site.cluster.peers[member].kill().await?;
        site.cluster.peers[member].restart()?;
        site.cluster.ready().await?;
    }
    ensure!(kept.is_held() && client.get("kept").await?.count == 1);
    kept.revoke().await?;
    ensure!(client.get("kept").await?.count == 0);

    let revoked = client.lease(Duration::from_secs(3)).await?;
    let id = revoked.id();
    let etcdctl = site.options.peer("etcdctl")?;
    let mut command = tokio::process::Command::new(etcdctl);
    command.args(site.cluster.command_flags());
    let status = command.args(["lease", "revoke", &format!("{id:x}")]);
    ensure!(status.output().await?.status.success());
    match soon("the loss of a lease", revoked.lost()).await? {
        Error::LeaseLost { id: lost, .. } if lost == id => {}
        other => bail!("{other:?}"),
    }
    let cut_off = client.lease(ttl).await?;
    for peer in &mut site.cluster.peers {
        peer.kill().await?;
    }
    let error = soon("the loss of a lease that nobody renews", cut_off.lost()).await?;
    ensure!(error.to_string().contains("not renewed within"), "{error}");
    Ok(())
}
