//! A client that lives on leases: grants, attaches, renews for a while, then revokes or forgets.

use std::time::Duration;

use mainstay_model::{Body, Outcome, Request};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{sync::watch, time::Instant};

use crate::{client::Client, load::SharedLeases};

/// The longest time to live of the load, in seconds. A leader stopped for longer is deposed while
/// leases run out.
pub const MAX_TTL: i64 = 4;

const MIN_TTL: i64 = 2;

/// Runs one lease after the other until told to stop.
pub async fn run(mut client: Client, seed: u64, shared: SharedLeases, stop: watch::Receiver<bool>) {
    let mut random = StdRng::seed_from_u64(seed ^ (u64::from(client.id) << 40));
    let mut sequence = 0;
    while !*stop.borrow() {
        sequence += 1;
        let id = i64::from(client.id) * 1_000_000 + sequence;
        let ttl = random.random_range(MIN_TTL..=MAX_TTL);
        let granted = client.call(Request::LeaseGrant { id, ttl }).await;
        if !matches!(granted, Outcome::Ok(_)) {
            continue;
        }
        let key = format!("l{}", random.random_range(0..6));
        let value = format!("c{}-{sequence}", client.id);
        client
            .call(Request::Put {
                key,
                value,
                lease: id,
                prev_kv: false,
            })
            .await;
        shared.offer(id);
        let life = Duration::from_millis(random.random_range(0..8000));
        let alive = renew(&mut client, id, ttl, Instant::now() + life, &stop).await;
        if alive && random.random_bool(0.4) {
            client.call(Request::LeaseRevoke { id }).await;
        }
    }
}

/// Renews at a third of the time to live until `until`. Tells whether the lease was still there.
async fn renew(
    client: &mut Client,
    id: i64,
    ttl: i64,
    until: Instant,
    stop: &watch::Receiver<bool>,
) -> bool {
    let third = Duration::from_millis(ttl.unsigned_abs() * 1000 / 3);
    while Instant::now() < until && !*stop.borrow() {
        let outcome = client.call(Request::LeaseKeepAlive { id }).await;
        if let Outcome::Ok(response) = &outcome
            && response.body == (Body::LeaseKeepAlive { ttl: 0 })
        {
            return false;
        }
        tokio::time::sleep(third).await;
    }
    true
}
