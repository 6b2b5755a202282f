//! Events that have piled up at the server, drained by our reflector, which keeps a copy of all keys,
//! and by the watch of `etcd-client`, which keeps nothing.

use anyhow::{Context, Result, bail};
use etcd_client::{EventType, WatchOptions};
use mainstay_client::kv::Op;
use mainstay_client::reflector::Change;
use mainstay_client::{Client, Error};

use super::{Shown, in_turn, measured};

const PREFIX: &str = "bench/event/";
const KEYS: u64 = 100_000;
/// How often each key is written while nobody drains.
const WRITES: u64 = 10;
/// etcd takes 128 steps in a transaction.
const STEPS: u64 = 100;
const VALUE: [u8; 256] = [b'e'; 256];

/// The keys, before anybody watches.
pub async fn fill(url: &str) -> Result<()> {
    let client = Client::builder().endpoint(url).build()?;
    write(&client).await?;
    Ok(())
}

pub async fn both(url: &str, ours_first: bool) -> Result<[Shown; 2]> {
    in_turn(ours_first, watch(url), reflector(url)).await
}

/// Every key once, and the revision of the last.
async fn write(client: &Client) -> Result<i64, Error> {
    let mut last = 0;
    for from in (0..KEYS).step_by(STEPS as usize) {
        let steps = (from..from + STEPS).map(|at| Op::put(format!("{PREFIX}{at:06}"), VALUE));
        last = steps
            .fold(client.txn(), |txn, step| txn.then(step))
            .await?
            .revision;
    }
    Ok(last)
}

async fn pile_up(url: &str) -> Result<i64> {
    let client = Client::builder().endpoint(url).build()?;
    let mut last = 0;
    for _ in 0..WRITES {
        last = write(&client).await?;
    }
    Ok(last)
}

async fn reflector(url: &str) -> Result<Shown> {
    let client = Client::builder().endpoint(url).build()?;
    let mut reflector = client.reflect(PREFIX);
    while !matches!(reflector.next().await?, Change::Synced { .. }) {}
    let last = pile_up(url).await?;
    measured(KEYS * WRITES, async {
        for _ in 0..KEYS * WRITES {
            reflector.next().await?;
        }
        Ok(())
    })
    .await
    .and_then(|shown| match reflector.cache().revision() >= last {
        true => Ok(shown),
        false => bail!(
            "the copy is at {}, not at {last}",
            reflector.cache().revision()
        ),
    })
}

async fn watch(url: &str) -> Result<Shown> {
    let mut client = etcd_client::Client::connect([url], None).await?;
    let options = WatchOptions::new().with_prefix();
    let mut stream = client.watch(PREFIX, Some(options)).await?;
    let last = pile_up(url).await?;
    measured(KEYS * WRITES, async {
        let mut seen = 0;
        while seen < KEYS * WRITES {
            let answer = stream.message().await?.context("the watch has ended")?;
            for event in answer.events() {
                let revision = event.kv().map_or(0, |kv| kv.mod_revision());
                if event.event_type() != EventType::Put || revision > last {
                    bail!("an event that nobody made: {event:?}");
                }
                seen += 1;
            }
        }
        Ok(())
    })
    .await
}
