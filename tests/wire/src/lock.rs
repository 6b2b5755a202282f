//! Locks and elections of both servers: by gRPC, and through etcdctl, whose own library meets the
//! keys of the service.

pub mod ctl;
pub mod service;

use anyhow::Result;

use crate::options::Options;
use crate::tally::Tally;

pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    for (name, result) in [
        ("lock service", service::lock(options).await),
        ("election service", service::election(options).await),
        ("lock under contention", service::contention(options).await),
        (
            "lock given up while waiting",
            service::cancellation(options).await,
        ),
        ("lock of a lease that ends", service::expiry(options).await),
        ("etcdctl lock", ctl::lock(options).await),
        ("etcdctl elect", ctl::elect(options).await),
    ] {
        match result {
            Ok(since) => tally.pass(name, since),
            Err(error) => tally.fail(name, &format!("  {error:#}")),
        }
    }
    Ok(tally.close())
}
