//! A lock, by which three programs count up and no count is lost, and an election, in which one
//! leads and the other follows. `etcdctl lock` and `etcdctl elect` wait in the same queues.

use std::time::Duration;

use mainstay_client::contend::Election;
use mainstay_client::kv::Op;
use mainstay_client::{Client, Error};

/// Whoever dies with a lock or a post gives it up when its lease runs out.
const TTL: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env()?.namespaced("examples/contend/");
    client.put("count", "0").await?;
    tokio::try_join!(count(&client), count(&client), count(&client))?;
    let found = client.get("count").await?;
    assert_eq!(found.first().map(|kv| &kv.value[..]), Some(&b"3"[..]));
    client.delete("count").await?;

    let election = client.election("leader");
    tokio::try_join!(lead(&client, "this one"), lead(&client, "that one"))?;
    assert_eq!(leader(&election).await?, None);
    Ok(())
}

async fn count(client: &Client) -> Result<(), Error> {
    let lease = client.lease(TTL).await?;
    let lock = client.lock("turn", &lease).await?;

    let found = client.get("count").await?;
    let text = found.first().map(|kv| String::from_utf8_lossy(&kv.value));
    let counted: u32 = text.and_then(|text| text.parse().ok()).unwrap_or(0);
    // The fence refuses the write if the lock was lost meanwhile, whatever this process believes.
    let count = Op::put("count", (counted + 1).to_string());
    let written = client.txn().when(lock.fence()).then(count).await?;
    assert!(written.succeeded, "the lock was lost");

    lock.unlock().await?;
    lease.revoke().await
}

async fn lead(client: &Client, name: &str) -> Result<(), Error> {
    let lease = client.lease(TTL).await?;
    let election = client.election("leader");
    let reign = election.campaign(name, &lease).await?;
    assert_eq!(leader(&election).await?.as_deref(), Some(name));
    // As long as it leads a leader may change what it says.
    reign.proclaim(format!("{name}, but going")).await?;
    println!("leads: {:?}", leader(&election).await?);
    reign.resign().await?;
    lease.revoke().await
}

async fn leader(election: &Election) -> Result<Option<String>, Error> {
    let leader = election.leader().await?;
    Ok(leader.map(|leader| String::from_utf8_lossy(&leader.value).into_owned()))
}
