//! Members that fall silent: cut off from everybody by their network, without a connection refused
//! or reset.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;

use super::reflecting::{copied, follow, there};
use super::watching::words;
use super::{Site, put_surely, soon};

/// Between two looks at what must come.
const LOOK: Duration = Duration::from_millis(20);
/// Keys that are written over and over.
const KEYS: usize = 50;

/// Every member is cut off once, and each time a watch and a copy learn of what is written meanwhile.
/// In the end the watch has told each write once and the copy equals the store.
pub async fn silent_members(site: &mut Site<'_>) -> Result<()> {
    let client = site.client()?;
    let reflector = client.reflect("p/");
    let cache = reflector.cache();
    let copying = tokio::spawn(follow(reflector, "p/end"));
    soon("the first list", cache.synced()).await?;
    let mut watch = client.watch("p/").prefix().await?;
    let first = watch.next_revision();
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let watching = tokio::spawn(async move {
        loop {
            let next = words(&mut watch, 1).await?;
            let last = next.iter().any(|word| word.contains("p/end="));
            telling.lock().extend(next);
            if last {
                return anyhow::Ok(());
            }
        }
    });
    let (writer, stop) = (site.client()?, Arc::new(AtomicBool::new(false)));
    let stopped = stop.clone();
    let writing = tokio::spawn(async move {
        for at in 0.. {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            put_surely(&writer, &format!("p/{}", at % KEYS), &at.to_string()).await?;
            tokio::time::sleep(LOOK).await;
        }
        put_surely(&writer, "p/end", "").await
    });
    for member in 0..site.cluster.peers.len() {
        network(site)?.cut(member)?;
        let (since, mark) = (Instant::now(), format!("p/mark{member}"));
        let other = site.client_of((member + 1) % site.cluster.peers.len())?;
        soon("a write of the others", put_surely(&other, &mark, "")).await??;
        soon("the mark in the copy", async {
            while cache.get(&mark).is_none() {
                tokio::time::sleep(LOOK).await;
            }
        })
        .await?;
        soon("the mark in the watch", async {
            while !told.lock().iter().any(|word| word.contains(&mark)) {
                tokio::time::sleep(LOOK).await;
            }
        })
        .await?;
        println!("m{member} cut off, known after {:.1?}", since.elapsed());
        network(site)?.mend(member)?;
        site.cluster.ready().await?;
    }
    stop.store(true, Ordering::Relaxed);
    soon("the writes", writing).await???;
    soon("the watch", watching).await???;
    let reflector = soon("the copy", copying).await???;
    ensure!(reflector.lists() == 1, "{} lists", reflector.lists());
    ensure!(
        there(&client, "p/").await? == copied(&cache),
        "the copy differs from the store"
    );
    let told = std::mem::take(&mut *told.lock());
    let history = client.watch("p/").prefix().from_revision(first);
    let history = words(&mut history.await?, told.len()).await?;
    for (told, there) in told.iter().zip(&history) {
        ensure!(told == there, "told {told}, but there is {there}");
    }
    Ok(())
}

fn network<'s>(site: &'s Site<'_>) -> Result<&'s crate::network::Network> {
    site.cluster.network.as_ref().context("no network was laid")
}
