//! Typed objects: what people want of one, what is so, and a change that was decided upon old news.

use mainstay_client::resource::{Resource, Yaml};
use mainstay_client::{Client, Error};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Workers {
    count: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Running {
    count: u32,
}

impl Resource for Workers {
    const KIND: &'static str = "examples/workers";
    type Status = Running;
    type Format = Yaml;
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let workers = Client::from_env()?.resources::<Workers>();
    // `etcdctl put examples/workers/blue 'count: 3'` does the same.
    workers.put("blue", &Workers { count: 3 }).await?;
    let blue = workers.get("blue").await?.expect("it was put just now");

    workers.tell(&blue, Running { count: 2 }).await?;
    let told = workers.get("blue").await?.expect("it was put just now");
    assert_eq!(told.status, Some(Running { count: 2 }));
    assert!(told.is_observed());

    // Somebody else wants more of them. What was decided upon the object as it was is refused.
    workers.put("blue", &Workers { count: 5 }).await?;
    let late = workers.replace(&blue, &Workers { count: 4 }).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    let now = workers.get("blue").await?.expect("it was put just now");
    println!("{} wanted, {:?} told", now.spec.count, now.status);
    assert!(now.spec.count == 5 && !now.is_observed());

    workers.delete("blue").await?;
    assert!(workers.get("blue").await?.is_none());
    Ok(())
}
