//! The members of the cluster as raft's membership has them.

use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;

use crate::types::{Peer, Raft, TypeConfig};

pub struct Members {
    own: u64,
    server: WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>,
}

/// One member, without what it has published of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: u64,
    pub peer: Peer,
    pub learner: bool,
}

impl Members {
    pub fn new(own: u64, raft: &Raft) -> Members {
        Members {
            own,
            server: raft.server_metrics(),
        }
    }

    pub fn own(&self) -> u64 {
        self.own
    }

    pub fn peer(&self, id: u64) -> Option<Peer> {
        let server = self.server.borrow_watched();
        server.membership_config.membership().get_node(&id).cloned()
    }

    pub fn is_voter(&self, id: u64) -> bool {
        let server = self.server.borrow_watched();
        server
            .membership_config
            .voter_ids()
            .any(|voter| voter == id)
    }

    pub fn is_only_voter(&self) -> bool {
        let server = self.server.borrow_watched();
        server.membership_config.voter_ids().eq([self.own])
    }

    pub fn is_learner(&self, id: u64) -> bool {
        let server = self.server.borrow_watched();
        server
            .membership_config
            .membership()
            .learner_ids()
            .any(|learner| learner == id)
    }

    /// Sorted by id, as etcd lists them.
    pub fn all(&self) -> Vec<Member> {
        let server = self.server.borrow_watched();
        let membership = server.membership_config.membership();
        let learners: Vec<u64> = membership.learner_ids().collect();
        membership
            .nodes()
            .map(|(id, peer)| Member {
                id: *id,
                peer: peer.clone(),
                learner: learners.contains(id),
            })
            .collect()
    }
}
