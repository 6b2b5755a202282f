//! One of many replicas reconciles: the one that holds the post.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::Action;
use super::runner::Runner;
use super::source::Triggers;
use crate::backoff::Backoff;
use crate::client::Client;
use crate::contend::Reign;
use crate::error::Error;
use crate::lease::Lease;

/// Between two tries to take a post.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// A post that one replica of a controller holds.
#[derive(Clone, Debug)]
pub struct Post {
    client: Client,
    name: Bytes,
    identity: String,
    ttl: Duration,
}

impl Post {
    /// `name` is where the replicas meet, as in [`Client::election`], and `identity` what this one is
    /// called there. Another follows within `ttl` of the death of the one that holds it, and at once
    /// when that one stops.
    pub fn new(
        client: &Client,
        name: impl AsRef<[u8]>,
        identity: impl Into<String>,
        ttl: Duration,
    ) -> Post {
        Post {
            client: client.clone(),
            name: Bytes::copy_from_slice(name.as_ref()),
            identity: identity.into(),
            ttl,
        }
    }
}

/// Waits for the post, however long members or leases are lost meanwhile.
async fn take(post: &Post) -> Result<(Lease, Reign), Error> {
    let election = post.client.election(&post.name);
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
    loop {
        let held = async {
            let lease = post.client.lease(post.ttl).await?;
            let reign = election.campaign(post.identity.clone(), &lease).await?;
            Ok((lease, reign))
        };
        match held.await {
            Ok(held) => return Ok(held),
            // Another try would end the same way.
            Err(error @ (Error::Refused { .. } | Error::Tls(_) | Error::Malformed { .. })) => {
                return Err(error);
            }
            Err(error) => tracing::info!(%error, "the post is asked for again"),
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// Waits for the post, reconciles while it is held, and gives it up afterwards.
///
/// # Errors
/// [`Error::LeaseLost`] when the post is lost: what was being reconciled is cut off at once, for
/// another may have begun. The process is to end or to begin anew, with new copies of all keys.
pub(super) async fn run<T, B, F>(
    post: Post,
    runner: Runner<'_, T, B>,
    mut stop: BoxFuture<'static, ()>,
) -> Result<(), Error>
where
    T: Triggers,
    B: Fn(String) -> F,
    F: Future<Output = Action>,
{
    let (lease, reign) = tokio::select! {
        held = take(&post) => held?,
        () = &mut stop => return Ok(()),
    };
    tracing::info!(identity = post.identity, "leading");
    let (tell, told) = oneshot::channel::<()>();
    let running = runner.run(Box::pin(async move {
        // One that is dropped stops it as well.
        let _ = told.await;
    }));
    let mut running = std::pin::pin!(running);
    let result = tokio::select! {
        result = &mut running => result,
        lost = lease.lost() => return Err(lost),
        () = &mut stop => {
            let _ = tell.send(());
            running.await
        }
    };
    reign.resign().await?;
    lease.revoke().await?;
    result
}
