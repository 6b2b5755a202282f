//! What a cluster holds, read through its client Service.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mainstay_chaos::connection::Connection;
use mainstay_chaos::convert;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::cluster::{Cluster, NAMESPACE};
use super::load;

const POLL: Duration = Duration::from_millis(200);
/// For a story's requests altogether.
const LIMIT: Duration = Duration::from_secs(60);

/// All keys of a cluster with their revisions, each on a line of its own, and the newest revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub revision: i64,
    pub keys: Vec<String>,
}

impl Content {
    pub fn of(cluster: &Cluster) -> Result<Content> {
        ask(cluster, async |connection| {
            let all = convert::range("\0", "\0", 0, 0, false);
            let all = connection.kv().range(all).await?.into_inner();
            let keys = all.kvs.iter().map(|kv| {
                let (created, modified) = (kv.create_revision, kv.mod_revision);
                let value = Sha256::digest(&kv.value);
                format!(
                    "{:?} created at {created}, modified at {modified}, version {}, lease {}, \
                     value {value:x?}",
                    kv.key, kv.version, kv.lease
                )
            });
            Ok(Content {
                revision: all.header.map_or(0, |header| header.revision),
                keys: keys.collect(),
            })
        })
    }

    /// Fails unless a restored cluster holds the same, key by key; its revision is a later one.
    pub fn compare(&self, restored: &Content) -> Result<()> {
        for (one, other) in self.keys.iter().zip(&restored.keys) {
            if one != other {
                bail!("{one}\nwas restored as\n{other}");
            }
        }
        let (was, is) = (self.keys.len(), restored.keys.len());
        if was != is {
            bail!("{was} keys were backed up, {is} are restored");
        }
        match restored.revision > self.revision {
            true => Ok(()),
            false => bail!(
                "a client of the former cluster at revision {} would miss what was undone: the \
                 restored one begins at {}",
                self.revision,
                restored.revision
            ),
        }
    }
}

/// So much that a bucket takes it in several parts: 16 MiB in keys of which some are written twice and
/// some are gone.
pub fn fill(cluster: &Cluster) -> Result<()> {
    ask(cluster, async |connection| {
        let mut kv = connection.kv();
        for number in 0..512 {
            // Half of them over again.
            let key = format!("backed up/{:03}", number % 256);
            // Content that differs, and as much of it as makes 64 KiB.
            let value = format!("{number:064}").repeat(1024);
            kv.put(convert::put(&key, &value, 0, false)).await?;
        }
        for number in (0..256).step_by(8) {
            let key = format!("backed up/{number:03}");
            kv.delete_range(convert::delete(&key, "", false)).await?;
        }
        Ok(())
    })
}

pub fn put(cluster: &Cluster, key: &str, value: &str) -> Result<()> {
    ask(cluster, async |connection| {
        let put = convert::put(key, value, 0, false);
        connection.kv().put(put).await?;
        Ok(())
    })
}

/// Fails unless a client that asks for a revision of the former cluster is told to read anew.
pub fn is_compacted(cluster: &Cluster, revision: i64) -> Result<()> {
    ask(cluster, async |connection| {
        let past = convert::range("\0", "\0", revision, 0, false);
        match connection.kv().range(past).await {
            Err(status) if status.message().ends_with("revision has been compacted") => Ok(()),
            other => bail!("revision {revision} is to be compacted: {other:?}"),
        }
    })
}

/// Waits until the Service leads to a member: its rules follow a pod that was made anew a moment later.
async fn reached(connection: &Connection) {
    let one = convert::range("\0", "\0", 0, 1, false);
    while connection.kv().range(one.clone()).await.is_err() {
        sleep(POLL).await;
    }
}

/// Asks within a time; a cluster that is ready answers at once.
fn ask<T>(cluster: &Cluster, asked: impl AsyncFnOnce(Connection) -> Result<T>) -> Result<T> {
    let runtime = Runtime::new().context("no runtime for the client")?;
    let service = format!("{}-client", cluster.name);
    let address = cluster.field("service", &service, "{.spec.clusterIP}")?;
    let address: SocketAddr = format!("{address}:2379").parse()?;
    let host = format!("{service}.{NAMESPACE}.svc");
    let shown = Arc::new(Mutex::new(load::certificate(cluster)?));
    runtime.block_on(async {
        let connection = load::connect(&host, address, &shown)?;
        let answer = timeout(LIMIT, async {
            reached(&connection).await;
            asked(connection).await
        });
        let answer = answer.await;
        answer.with_context(|| format!("{host} does not answer"))?
    })
}
