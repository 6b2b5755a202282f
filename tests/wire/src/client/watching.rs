use anyhow::{Result, bail, ensure};
use mainstay_client::watch::{Seen, Watch};
use mainstay_client::{Error, Event, EventType};

use super::{Site, put_surely, soon};

/// How many writes a watch must see through kills.
const WRITES: usize = 300;

/// Events as words, in the order in which they come, until there are `count`.
pub(super) async fn words(watch: &mut Watch, count: usize) -> Result<Vec<String>> {
    let mut words = Vec::new();
    while words.len() < count {
        match soon("an event", watch.next()).await?.transpose()? {
            Some(Seen::Events { events, .. }) => words.extend(events.iter().map(word)),
            Some(Seen::Progress { .. }) => {}
            None => bail!("the watch has ended after {words:?}"),
        }
    }
    Ok(words)
}

fn word(event: &Event) -> String {
    let kv = event.kv.clone().unwrap_or_default();
    let key = String::from_utf8_lossy(&kv.key).into_owned();
    let before = event.prev_kv.as_ref().map(|kv| kv.value.clone());
    match event.r#type == EventType::Delete as i32 {
        true => format!("{} -{key} {before:?}", kv.mod_revision),
        false => format!("{} {key}={:?} {before:?}", kv.mod_revision, kv.value),
    }
}

/// Filters, the past, the previous value, and where a watch begins.
pub async fn all(site: &mut Site<'_>) -> Result<()> {
    let client = site.client()?;
    let first = client.put("w/a", "1").await?.revision;
    client.put("w/b", "2").await?;
    client.delete("w/a").await?;
    let mut past = client.watch("w/").prefix().from_revision(first);
    let mut seen = words(&mut past.clone().await?, 3).await?;
    past = past.with_previous();
    let with = words(&mut past.await?, 3).await?;
    ensure!(seen.len() == 3 && with.len() == 3);
    ensure!(
        with[2] == format!("{} -w/a Some(b\"1\")", first + 2),
        "{with:?}"
    );
    ensure!(seen[2] == format!("{} -w/a None", first + 2), "{seen:?}");
    let deletes = client.watch("w/").prefix().from_revision(first);
    seen = words(&mut deletes.without_puts().await?, 1).await?;
    ensure!(seen == [format!("{} -w/a None", first + 2)], "{seen:?}");
    let puts = client.watch("w/a").until("w/c").from_revision(first);
    let mut puts = puts.without_deletes().await?;
    ensure!(words(&mut puts, 2).await?.len() == 2);
    let mut now = client.watch("w/").prefix().await?;
    ensure!(now.next_revision() == first + 3, "{}", now.next_revision());
    let next = client.put("w/c", "4").await?.revision;
    seen = words(&mut now, 1).await?;
    ensure!(seen == [format!("{next} w/c=b\"4\" None")], "{seen:?}");
    ensure!(now.next_revision() == next + 1);
    Ok(())
}

/// While every member is killed once, a watch tells each write once, in order, and nothing else: what
/// it has told equals what a new watch finds in the history.
pub async fn kills(site: &mut Site<'_>) -> Result<()> {
    let client = site.client()?;
    let mut watch = client.watch("w/").prefix().await?;
    let first = watch.next_revision();
    let writer = site.client()?;
    let writing = tokio::spawn(async move {
        for at in 0..WRITES {
            put_surely(&writer, &format!("w/{}", at % 7), &at.to_string()).await?;
        }
        put_surely(&writer, "w/end", "").await
    });
    let watching = tokio::spawn(async move {
        let mut told = Vec::new();
        loop {
            let next = words(&mut watch, 1).await?;
            let last = next.iter().any(|word| word.contains("w/end="));
            told.extend(next);
            if last {
                return anyhow::Ok(told);
            }
        }
    });
    for member in 0..3 {
        site.cluster.peers[member].kill().await?;
        site.cluster.peers[member].restart()?;
        site.cluster.ready().await?;
    }
    soon("the writes", writing).await???;
    let told = soon("the watch", watching).await???;
    let history = client.watch("w/").prefix().from_revision(first);
    let history = words(&mut history.await?, told.len()).await?;
    ensure!(told.len() > WRITES, "{} events", told.len());
    for (told, there) in told.iter().zip(&history) {
        ensure!(told == there, "told {told}, but there is {there}");
    }
    Ok(())
}

/// What was compacted while the watch had no member is said to be gone, by its revision.
pub async fn compacted(site: &mut Site<'_>) -> Result<()> {
    let mut watch = site.client_of(0)?.watch("w/").prefix().await?;
    site.cluster.peers[0].kill().await?;
    let others = site.client_of(1)?;
    put_surely(&others, "w/a", "1").await?;
    let newest = loop {
        match others.put("w/a", "2").await {
            Ok(stored) => break stored.revision,
            Err(error) if error.may_have_happened() => {}
            Err(error) => return Err(error.into()),
        }
    };
    others.compact(newest).await?;
    site.cluster.peers[0].restart()?;
    match soon("the word that it is gone", watch.next()).await? {
        Some(Err(Error::Compacted { revision })) if revision == newest => {}
        other => bail!("{other:?}"),
    }
    ensure!(watch.next().await.is_none(), "an end is an end");
    let past = others.watch("w/").prefix().from_revision(1).await;
    let past = match past {
        Ok(mut watch) => soon("the word", watch.next())
            .await?
            .map(|next| next.map(|_| ())),
        Err(error) => Some(Err(error)),
    };
    ensure!(
        matches!(past, Some(Err(Error::Compacted { .. }))),
        "{past:?}"
    );
    Ok(())
}
