//! A worker that counts as one for as long as it lives: its key hangs on a lease.

use std::time::Duration;

use mainstay_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env()?.namespaced("examples/lease/");
    // Renewed for as long as the handle lives. If this process dies, its key goes within ten seconds.
    let lease = client.lease(Duration::from_secs(10)).await?;
    client.put("workers/7", "ready").lease(lease.id()).await?;

    tokio::select! {
        done = work(&client) => println!("{} workers", done?),
        // Nobody counts this one any longer, so it must not go on.
        why = lease.lost() => return Err(why),
    }

    // A worker that leaves says so, and nobody waits for the lease to run out.
    lease.revoke().await?;
    assert_eq!(client.get("workers/7").await?.count, 0);
    Ok(())
}

async fn work(client: &Client) -> Result<i64, Error> {
    let workers = client.get("workers/").prefix().count_only().await?;
    assert!(workers.count > 0);
    Ok(workers.count)
}
