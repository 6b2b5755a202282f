//! Tells when something that this member believes of its cluster may have changed.

use openraft::async_runtime::WatchReceiver;
use tokio_util::sync::CancellationToken;

use crate::leadership::{Leadership, ServerWatch};

/// Changes of the leader, the term or the members, as raft sees them. That a leader has fallen
/// silent is no change to raft: [`Node::leader`](crate::Node::leader) tells that by the clock.
pub struct Changes {
    server: ServerWatch,
    stop: CancellationToken,
}

impl Changes {
    pub(crate) fn new(leadership: &Leadership, stop: CancellationToken) -> Changes {
        let server = leadership.watch();
        Changes { server, stop }
    }

    /// Returns after the next change; false once the node has stopped.
    pub async fn next(&mut self) -> bool {
        tokio::select! {
            changed = self.server.changed() => changed.is_ok(),
            () = self.stop.cancelled() => false,
        }
    }
}
