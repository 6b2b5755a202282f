//! A controller of which several run and one reconciles: start it twice, `etcdctl put
//! examples/orders/7 'prices: [3, 4]'`, and the status says 7 whichever of them you stop.

use std::sync::Arc;
use std::time::Duration;

use mainstay_client::controller::{Action, Controller, Limits, Post};
use mainstay_client::resource::{Object, Resource, Resources, Yaml};
use mainstay_client::{Client, Error};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    prices: Vec<u32>,
}

impl Resource for Order {
    const KIND: &'static str = "examples/orders";
    type Status = u64;
    type Format = Yaml;
}

/// It compares what is wanted with what is, whatever has happened: twice is as good as once.
async fn total(order: Arc<Object<Order>>, orders: Arc<Resources<Order>>) -> Result<Action, Error> {
    let total = order.spec.prices.iter().copied().map(u64::from).sum();
    orders.tell(&order, total).await?;
    // In a minute again, for what changes outside of the cluster.
    Ok(Action::RequeueAfter(Duration::from_secs(60)))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::from_env()?;
    let orders = client.resources::<Order>();
    // Another one follows at once when this one stops, and within five seconds of its death.
    let me = format!("process {}", std::process::id());
    let post = Post::new(&client, "examples/post", me, Duration::from_secs(5));
    let limits = Limits {
        first_back_off: Duration::from_millis(50),
        ..Limits::default()
    };
    let again = |order: Arc<Object<Order>>, error: &Error, _| {
        eprintln!("order {}: {error}", order.name);
        Action::BackOff
    };
    Controller::new(orders.clone())
        .leading(post)
        .limits(limits)
        .concurrency(4)
        .until_signal()
        .run(total, again, Arc::new(orders))
        .await
}
