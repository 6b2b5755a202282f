//! One worker: it works for as long as its lease lives.

use anyhow::{Context, Result, ensure};
use mainstay_client::Client;
use mainstay_client::kv::{Compare, Op};
use tokio::signal::unix::{SignalKind, signal};

use crate::fleet::Worker;

pub async fn run(client: Client, name: String, job: String, lease: &str) -> Result<()> {
    let id = i64::from_str_radix(lease, 16).context("--lease is no lease")?;
    let lease = client.adopt_lease(id).await?;
    let worker = Worker {
        job,
        pid: Some(std::process::id()),
    };
    let key = format!("fleet/workers/{name}");
    let put = Op::put_leased(&key, serde_json::to_vec(&worker)?, id);
    let txn = client.txn().when(Compare::exists(&key)).then(put);
    ensure!(txn.await?.succeeded, "{name} is wanted no longer");
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        // Whoever ended the lease wants it to stop; or nobody can tell any more whether it is alone.
        lost = lease.lost() => eprintln!("{name}: {lost}"),
        _ = terminated.recv() => lease.revoke().await?,
    }
    Ok(())
}
