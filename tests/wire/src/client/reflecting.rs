use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use mainstay_client::kv::Op;
use mainstay_client::reflector::{Cache, Change, Reflector};
use mainstay_client::{Client, Error};

use super::{Site, put_surely, soon};

const KEYS: usize = 100_000;
/// etcd takes 128 steps in a transaction.
const STEPS: usize = 100;

/// Keys and the revisions at which they were written last, as a member has them.
pub(super) async fn there(client: &Client, prefix: &str) -> Result<BTreeMap<Bytes, i64>> {
    let mut pages = client.get(prefix).prefix().pages();
    let mut keys = BTreeMap::new();
    while let Some(page) = pages.next().await? {
        keys.extend(page.into_iter().map(|kv| (kv.key, kv.mod_revision)));
    }
    Ok(keys)
}

pub(super) fn copied(cache: &Cache) -> BTreeMap<Bytes, i64> {
    let keys = cache.all().into_iter();
    keys.map(|kv| (kv.key.clone(), kv.mod_revision)).collect()
}

/// Follows until the end marker is there, and checks on the way that every change follows from what
/// was told before: no event twice, none left out.
pub(super) async fn follow(mut reflector: Reflector, end: &str) -> Result<Reflector> {
    let mut told: BTreeMap<Bytes, i64> = BTreeMap::new();
    loop {
        match soon("a change", reflector.next()).await?? {
            Change::Put { now, before } => {
                let known = told.insert(now.key.clone(), now.mod_revision);
                ensure!(
                    known == before.map(|kv| kv.mod_revision),
                    "{:?} came after {known:?}",
                    now.key
                );
                ensure!(known < Some(now.mod_revision), "{:?} twice", now.key);
                if now.key == end {
                    return Ok(reflector);
                }
            }
            Change::Deleted { before } => {
                let known = told.remove(&before.key);
                ensure!(known == Some(before.mod_revision), "{:?}", before.key);
            }
            Change::Synced { .. } => {}
        }
    }
}

async fn write_many(client: &Client, from: usize, value: &str) -> Result<()> {
    let steps = (from..from + STEPS).map(|at| Op::put(format!("r/{at:06}"), value));
    let txn = steps.fold(client.txn(), |txn, step| txn.then(step));
    loop {
        match txn.clone().await {
            Ok(_) => return Ok(()),
            // The same again is as good.
            Err(Error::OutcomeUnknown { .. } | Error::Unreachable { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A copy of 100,000 keys that are written while it is made and afterwards, members being killed.
pub async fn many(site: &mut Site<'_>) -> Result<()> {
    let client = site.client()?;
    for from in (0..KEYS).step_by(STEPS) {
        write_many(&client, from, "first").await?;
    }
    let began = Instant::now();
    let reflector = client.reflect("r/");
    let cache = reflector.cache();
    let following = tokio::spawn(follow(reflector, "r/end"));
    soon("the first list", cache.synced()).await?;
    println!("{KEYS} keys copied in {:.2?}", began.elapsed());
    let writer = site.client()?;
    let writing = tokio::spawn(async move {
        for from in (0..KEYS / 10).step_by(STEPS) {
            write_many(&writer, from, "second").await?;
        }
        for at in 0..STEPS {
            match writer.delete(format!("r/{:06}", at * 7)).await {
                Ok(_) | Err(Error::OutcomeUnknown { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        put_surely(&writer, "r/end", "").await
    });
    for member in 0..3 {
        site.cluster.peers[member].kill().await?;
        site.cluster.peers[member].restart()?;
        site.cluster.ready().await?;
    }
    soon("the writes", writing).await???;
    let reflector = soon("the copy", following).await???;
    ensure!(reflector.lists() == 1, "{} lists", reflector.lists());
    let there = there(&client, "r/").await?;
    ensure!(there == copied(&cache), "the copy differs from the store");
    Ok(())
}

/// Cut off from its member through deletes, writes and a compaction, a copy is made anew and tells
/// what has become of each key.
pub async fn compacted(site: &mut Site<'_>) -> Result<()> {
    let others = site.client_of(1)?;
    for name in ["r/gone", "r/kept", "r/changed"] {
        others.put(name, "1").await?;
    }
    let mut reflector = site.client_of(0)?.reflect("r/");
    while !matches!(
        soon("a list", reflector.next()).await??,
        Change::Synced { .. }
    ) {}
    site.cluster.peers[0].kill().await?;
    put_surely(&others, "r/changed", "2").await?;
    put_surely(&others, "r/new", "3").await?;
    while let Err(error) = others.delete("r/gone").await {
        ensure!(error.may_have_happened(), "{error}");
    }
    let newest = others.get("r/").prefix().await?.revision;
    others.compact(newest).await?;
    site.cluster.peers[0].restart()?;
    let mut told = Vec::new();
    loop {
        match soon("a change", reflector.next()).await?? {
            Change::Put { now, .. } => told.push(format!("{:?}", now.key)),
            Change::Deleted { before } => told.push(format!("-{:?}", before.key)),
            Change::Synced { .. } => break,
        }
    }
    ensure!(
        told == ["-b\"r/gone\"", "b\"r/changed\"", "b\"r/new\""],
        "{told:?}"
    );
    ensure!(reflector.lists() == 2);
    if there(&others, "r/").await? != copied(&reflector.cache()) {
        bail!("the copy differs from the store");
    }
    Ok(())
}
