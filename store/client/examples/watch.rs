//! A watch that begins where a read ended, and another that goes on where the first one ended: no
//! change is missed and none is told twice, over connections, members and runs of the program.

use mainstay_client::watch::{Seen, Watch};
use mainstay_client::{Client, Error, Event, KeyValue};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let orders = Client::from_env()?.namespaced("examples/watch/");
    orders.put("7", "ordered").await?;

    let found = orders.get("").prefix().await?;
    let mut watch = orders
        .watch("")
        .prefix()
        .from_revision(found.revision + 1)
        .with_previous()
        .await?;
    orders.put("7", "paid").await?;
    assert_eq!(next(&mut watch).await?, ["ordered -> paid"]);

    // All that has to be kept over a stop of the program.
    let next_revision = watch.next_revision();
    drop(watch);
    orders.put("7", "sent").await?;
    orders.delete("7").await?;

    let watch = orders.watch("").prefix().from_revision(next_revision);
    let mut watch = watch.with_previous().await?;
    let mut changes = next(&mut watch).await?;
    while changes.len() < 2 {
        changes.extend(next(&mut watch).await?);
    }
    assert_eq!(changes, ["paid -> sent", "sent -> "]);
    Ok(())
}

/// What happened next. After `Error::Compacted`, which says that it is forgotten, one reads anew and
/// watches from there: a reflector does that.
async fn next(watch: &mut Watch) -> Result<Vec<String>, Error> {
    while let Some(seen) = watch.next().await.transpose()? {
        match seen {
            Seen::Events { events, revision } => {
                println!("{} changes up to revision {revision}", events.len());
                return Ok(events.iter().map(told).collect());
            }
            Seen::Progress { revision } => println!("nothing else up to {revision}"),
        }
    }
    Ok(Vec::new())
}

fn told(event: &Event) -> String {
    let value = |kv: &KeyValue| String::from_utf8_lossy(&kv.value).into_owned();
    let before = event.prev_kv.as_ref().map(value).unwrap_or_default();
    let now = event.kv.as_ref().map(value).unwrap_or_default();
    format!("{before} -> {now}")
}
