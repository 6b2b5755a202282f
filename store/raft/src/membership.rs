//! The members of the cluster: who raft counts and dials, and how they change.
//!
//! Two views exist. What is appended is already in force for raft ([`Members`]: quorums, addresses);
//! what has been applied is what clients are shown ([`roster`]).
//!
//! Members change one at a time, by one entry each (`change`): any quorum of the voters before it and
//! any of those after share a member, so there is no half-way membership that a lost leader could
//! leave behind. A voter that is added is a learner to raft until it has the log (`admission`).

pub mod admission;
pub mod change;
pub mod connectivity;
pub mod removal;
pub mod rules;

use mainstay_apply::{Attributes, View};
use mainstay_proto::peer;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;

use crate::types::{Peer, Raft, TypeConfig};

/// The membership in force for raft.
pub struct Members {
    own: u64,
    server: WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>,
}

/// One member as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: u64,
    /// Empty until the member has started and published itself.
    pub name: String,
    pub peer_urls: Vec<String>,
    pub client_urls: Vec<String>,
    /// Only such as were added as learners and not promoted.
    pub learner: bool,
    /// Counts in the quorum; a voter that has just been added does not.
    pub votes: bool,
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

    /// Every other member with its addresses.
    pub fn others(&self) -> Vec<(u64, Peer)> {
        let server = self.server.borrow_watched();
        let nodes = server.membership_config.membership().nodes();
        nodes
            .filter(|(id, _)| **id != self.own)
            .map(|(id, peer)| (*id, peer.clone()))
            .collect()
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

    /// Whether there is a membership yet.
    pub fn is_known(&self) -> bool {
        self.server
            .borrow_watched()
            .membership_config
            .log_id()
            .is_some()
    }

    /// Ends when the membership may have changed; false once raft has ended.
    pub async fn changed(&self) -> bool {
        let mut server = self.server.clone();
        let before = *server.borrow_and_update().membership_config.log_id();
        loop {
            if server.changed().await.is_err() {
                return false;
            }
            if *server.borrow_and_update().membership_config.log_id() != before {
                return true;
            }
        }
    }
}

/// Whether a member was added as a learner and not promoted. Asked for every request, so it makes
/// no list.
pub fn is_learner(view: &View, id: u64) -> bool {
    let membership = view.membership();
    let node = membership.nodes.iter().find(|node| node.id == id);
    node.is_some_and(|node| !node.joining && !votes(&membership, id))
}

fn votes(membership: &peer::Membership, id: u64) -> bool {
    let mut voters = membership.configs.iter().flat_map(|voters| &voters.ids);
    voters.any(|voter| *voter == id)
}

/// The members as of the last membership applied, sorted by id, as etcd lists them.
pub fn roster(view: &View) -> Vec<Member> {
    let membership = view.membership();
    let mut members: Vec<Member> = membership
        .nodes
        .iter()
        .map(|node| {
            // Those that the cluster began with are known by name before they have ever been up.
            let published = view.attributes(node.id).unwrap_or_else(|| Attributes {
                name: node.name.clone(),
                ..Attributes::default()
            });
            let votes = votes(&membership, node.id);
            Member {
                id: node.id,
                name: published.name,
                peer_urls: node.peer_urls.clone(),
                client_urls: published.client_urls,
                learner: !votes && !node.joining,
                votes,
            }
        })
        .collect();
    members.sort_by_key(|member| member.id);
    members
}
