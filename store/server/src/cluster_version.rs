//! Tells the cluster which version it runs as; the leader does.
//!
//! That is the version all members speak, or the one below while a downgrade job stands. Every
//! member of this release speaks for the same one; the lowest of all voters is asked for as soon as
//! there are two that differ.

use std::time::Duration;

use mainstay_apply::View;
use mainstay_proto::entry::{self, command::Body};
use mainstay_raft::Node;
use tokio::time::{Instant, sleep};

/// Between two looks at what is decided (etcd looks every five seconds, and at once after a
/// start).
const LOOK: Duration = Duration::from_millis(500);
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(7);

/// Keeps the replicated version at what it has to be; never returns.
pub async fn keep(node: Node, view: View) {
    loop {
        let target = view.downgrade_target();
        let version = target.unwrap_or_else(|| mainstay_api::CLUSTER_VERSION.to_owned());
        if node.is_leader() && view.cluster_version().as_ref() != Some(&version) {
            decide(&node, version).await;
        }
        sleep(LOOK).await;
    }
}

async fn decide(node: &Node, version: String) {
    let body = Body::ClusterVersion(entry::ClusterVersion {
        version: version.clone(),
    });
    match node.propose(body, Instant::now() + PROPOSE_TIMEOUT).await {
        Ok(_) => tracing::info!(version, "cluster version is decided"),
        Err(error) => tracing::warn!(%error, "cluster version is not decided yet"),
    }
}
