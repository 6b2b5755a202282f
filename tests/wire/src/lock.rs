//! Locks and elections of both servers: by gRPC, and through etcdctl, whose own library meets the
//! keys of the service.

pub mod ctl;
pub mod service;

use anyhow::Result;

use crate::options::Options;
use xtask::tally::Tally;

pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    macro_rules! case {
        ($name:literal, $call:expr) => {
            if options.wants($name) {
                match $call.await {
                    Ok(since) => tally.pass($name, since),
                    Err(error) => tally.fail($name, &format!("  {error:#}")),
                }
            }
        };
    }
    case!("lock service", service::lock(options));
    case!("election service", service::election(options));
    case!("lock under contention", service::contention(options));
    case!(
        "lock given up while waiting",
        service::cancellation(options)
    );
    case!("lock of a lease that ends", service::expiry(options));
    case!("etcdctl lock", ctl::lock(options));
    case!("etcdctl elect", ctl::elect(options));
    Ok(tally.close())
}
