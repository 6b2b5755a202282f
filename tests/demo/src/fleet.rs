//! The keys that everybody here speaks by.
//!
//! `fleet/kinds/<kind>` is what people want. `fleet/workers/<kind>.<number>` is a worker: its key hangs
//! on a lease that the worker keeps alive, so it goes when the worker does, however that ends.

use std::time::Duration;

use anyhow::Result;
use mainstay_client::resource::{Json, Resource};
use mainstay_client::{Client, KeyValue};
use serde::{Deserialize, Serialize};

/// Where the replicas of the controller meet.
pub const POST: &str = "fleet/post";
/// A worker that says nothing for so long is taken for dead.
pub const WORKER_TTL: Duration = Duration::from_secs(3);
/// The same of a leading controller.
pub const CONTROLLER_TTL: Duration = Duration::from_secs(3);
/// More workers of a kind than these are not started, whatever is wanted.
pub const MOST_WORKERS: usize = 50;

/// What people want of a kind of workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    pub workers: usize,
    /// What each of them does; others are replaced when it changes.
    #[serde(default = "idle")]
    pub job: String,
}

fn idle() -> String {
    "idle".to_owned()
}

/// What the controller has made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub working: usize,
    pub starting: usize,
}

impl Resource for Kind {
    const KIND: &'static str = "fleet/kinds";
    type Status = Kept;
    type Format = Json;
}

/// What a worker says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    pub job: String,
    /// None while its process is being started.
    pub pid: Option<u32>,
}

impl Resource for Worker {
    const KIND: &'static str = "fleet/workers";
    type Status = ();
    type Format = Json;
}

/// The kind that a worker is of.
pub fn kind_of(worker: &str) -> Option<&str> {
    worker.rsplit_once('.').map(|(kind, _)| kind)
}

/// The worker whose key this is, with what it says of itself.
pub fn read(kv: &KeyValue) -> Option<(String, Worker)> {
    let key = std::str::from_utf8(&kv.key).ok()?;
    let name = key.strip_prefix("fleet/workers/")?;
    let worker = serde_json::from_slice(&kv.value).ok()?;
    Some((name.to_owned(), worker))
}

/// Ends all workers: they stop when their leases do.
pub async fn stop(client: &Client) -> Result<()> {
    for kv in client.get("fleet/workers/").prefix().await?.kvs {
        client.revoke_lease(kv.lease).await?;
    }
    Ok(())
}
