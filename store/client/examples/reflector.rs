//! A reflector: a copy of a range of keys in this process, read without asking anybody, and told of
//! whatever changes in it.

use mainstay_client::reflector::Change;
use mainstay_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env()?.namespaced("examples/reflector/");
    client.put("prices/apple", "3").await?;

    let mut reflector = client.reflect("prices/");
    let prices = reflector.cache();
    // The copy follows the cluster for as long as somebody asks for what comes next, and may be read
    // by any task.
    let mut following = tokio::spawn(async move {
        loop {
            match reflector.next().await? {
                Change::Put { now, .. } => println!("{:?} costs {:?}", now.key, now.value),
                Change::Synced { revision } => println!("complete as of {revision}"),
                Change::Deleted { before } => {
                    println!("{:?} is sold out", before.key);
                    return Ok::<_, Error>(());
                }
            }
        }
    });
    tokio::select! {
        () = prices.synced() => {}
        ended = &mut following => return ended.expect("it does not panic"),
    }
    let apple = prices.get("prices/apple");
    assert_eq!(apple.map(|kv| kv.value.clone()).as_deref(), Some(&b"3"[..]));

    client.delete("prices/apple").await?;
    following.await.expect("it does not panic")?;
    assert!(prices.get("prices/apple").is_none());
    Ok(())
}
