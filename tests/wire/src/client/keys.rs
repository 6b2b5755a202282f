use anyhow::{Result, ensure};
use mainstay_client::Error;
use mainstay_client::kv::{Compare, Op};
use mainstay_proto::etcdserverpb::compare::CompareResult;
use mainstay_proto::etcdserverpb::range_request::{SortOrder, SortTarget};

use super::Site;

/// Every call on keys, each with what it must bring.
pub async fn all(site: &mut Site<'_>) -> Result<()> {
    let client = site.client()?;
    let first = client.put("k/a", "1").await?;
    let second = client.put("k/a", "2").returning_previous().await?;
    ensure!(second.revision == first.revision + 1);
    ensure!(second.before.is_some_and(|kv| kv.value == "1"));
    client.put("k/b", "0").await?;
    let found = client.get("k/").prefix().await?;
    ensure!(found.count == 2 && !found.more, "{found:?}");
    let newest = client.get("k/").prefix().limit(1);
    let newest = newest.sorted(SortTarget::Value, SortOrder::Descend).await?;
    ensure!(newest.more && newest.first().is_some_and(|kv| kv.key == "k/a"));
    let old = client.get("k/a").at_revision(first.revision).await?;
    ensure!(old.first().is_some_and(|kv| kv.value == "1"));
    let all = client.get("").prefix().count_only().await?;
    ensure!(all.count == 2 && all.kvs.is_empty());
    let changed = client.get("k/").prefix().changed_since(second.revision + 1);
    ensure!(changed.await?.kvs.len() == 1);
    let until = client.get("k/a").until("k/b").serializable().await?;
    ensure!(until.kvs.len() == 1);

    let txn = client.txn();
    let txn = txn.when(Compare::value("k/a", CompareResult::Equal, "2"));
    let txn = txn.when(Compare::missing("k/c"));
    let txn = txn.then(Op::put("k/c", "3")).then(Op::get("k/c"));
    let taken = txn.otherwise(Op::delete("k/a")).await?;
    ensure!(taken.succeeded && taken.outcomes.len() == 2);
    let kv = taken.found().and_then(|found| found.first());
    ensure!(kv.is_some_and(|kv| kv.value == "3" && kv.mod_revision == taken.revision));
    let refused = client.txn().when(Compare::missing("k/c"));
    let refused = refused.then(Op::delete("k/a")).otherwise(Op::get("k/b"));
    ensure!(!refused.await?.succeeded);

    let gone = client.delete("k/").prefix().returning_previous().await?;
    ensure!(gone.count == 3 && gone.before.len() == 3);
    ensure!(client.get("k/").prefix().await?.kvs.is_empty());
    let future = client.get("k/a").at_revision(gone.revision + 100).await;
    let code = future.err().and_then(|error| error.code());
    ensure!(code == Some(tonic::Code::OutOfRange), "{code:?}");
    let nameless = client.put("", "1").await;
    let code = nameless.err().and_then(|error| error.code());
    ensure!(code == Some(tonic::Code::InvalidArgument), "{code:?}");
    Ok(())
}

/// Keys of a namespace are the caller's own, on every path.
pub async fn namespace(site: &mut Site<'_>) -> Result<()> {
    let whole = site.client()?;
    let (one, two) = (whole.namespaced("one/"), whole.namespaced("two/"));
    let inner = one.namespaced("in/");
    let mut watch = one.watch("").prefix().await?;
    for (client, value) in [(&one, "1"), (&two, "2"), (&inner, "3")] {
        client.put("k", value).await?;
    }
    let names = async |client: &mainstay_client::Client| -> Result<Vec<String>> {
        let found = client.get("").prefix().await?.kvs.into_iter();
        Ok(found
            .map(|kv| String::from_utf8_lossy(&kv.key).into_owned())
            .collect())
    };
    ensure!(names(&whole).await? == ["one/in/k", "one/k", "two/k"]);
    ensure!(names(&one).await? == ["in/k", "k"]);
    ensure!(names(&inner).await? == ["k"]);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let next = super::soon("events", watch.next()).await?;
        if let Some(mainstay_client::watch::Seen::Events { events, .. }) = next.transpose()? {
            let keys = events.into_iter().filter_map(|event| event.kv);
            seen.extend(keys.map(|kv| String::from_utf8_lossy(&kv.key).into_owned()));
        }
    }
    ensure!(seen == ["k", "in/k"], "{seen:?}");
    let txn = two.txn().when(Compare::exists("k")).then(Op::DeletePrefix {
        key: bytes::Bytes::new(),
    });
    ensure!(txn.await?.succeeded);
    ensure!(names(&whole).await? == ["one/in/k", "one/k"]);
    one.delete("").prefix().await?;
    ensure!(names(&whole).await?.is_empty());
    Ok(())
}

/// All pages show one revision, and a compaction in between is told.
pub async fn pages(site: &mut Site<'_>) -> Result<()> {
    let client = site.client()?;
    for at in 0..25 {
        client.put(format!("p/{at:03}"), "x").await?;
    }
    let mut pages = client.get("p/").prefix().limit(10).pages();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await? {
        // Whatever comes between two pages is of no page.
        client.put(format!("p/{:03}x", names.len()), "y").await?;
        ensure!(page.len() <= 10);
        names.extend(page.into_iter().map(|kv| kv.key));
    }
    ensure!(names.len() == 25 && names.is_sorted(), "{names:?}");
    let mut pages = client.get("p/").prefix().limit(10).pages();
    pages.next().await?;
    let newest = client.put("p/new", "z").await?.revision;
    client.compact(newest).await?;
    match pages.next().await {
        Err(Error::Compacted { revision }) if revision == pages.revision() => Ok(()),
        other => anyhow::bail!("a page of what is compacted: {other:?}"),
    }
}
