//! Tells the cluster which version it runs as, once; the leader does.
//!
//! Every member of this version speaks for the same one. The lowest of all voters is asked for as
//! soon as there are two versions that differ.

use std::time::Duration;

use mainstay_apply::View;
use mainstay_proto::entry::{self, command::Body};
use mainstay_raft::Node;
use tokio::time::{Instant, sleep};

/// Between two looks at whether it is decided (etcd looks every five seconds, and at once after a
/// start).
const LOOK: Duration = Duration::from_millis(500);
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(7);

/// Returns once the version is decided.
pub async fn decide(node: Node, view: View) {
    while view.cluster_version().is_none() {
        if node.is_leader() {
            let version = mainstay_api::CLUSTER_VERSION.to_owned();
            let body = Body::ClusterVersion(entry::ClusterVersion { version });
            match node.propose(body, Instant::now() + PROPOSE_TIMEOUT).await {
                Ok(_) => tracing::info!(
                    version = mainstay_api::CLUSTER_VERSION,
                    "cluster version is decided"
                ),
                Err(error) => tracing::warn!(%error, "cluster version is not decided yet"),
            }
        }
        sleep(LOOK).await;
    }
}
