//! Forming a cluster once, and never a second time.
//!
//! A member without data asks every other one in its initial cluster. It initialises raft only
//! when a majority, itself included, is known to be unformed with the same list and token, which
//! the connection's preamble has already compared as the cluster id. A member that belongs to a
//! running cluster either lets it join (it is in the membership and has never been up) or shows
//! that this directory has lost its data: then it refuses, as etcd does, because a member that
//! has forgotten its votes and entries may undo what a quorum had decided.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use mainstay_apply::View;
use mainstay_proto::peer;
use tokio::time::sleep;

use crate::handler::{Formation, Handler};
use crate::identity::{Identity, InitialCluster};
use crate::peer::frame::Kind;
use crate::peers::Peers;
use crate::types::{Peer, Raft};

/// Between two rounds of asking.
const ROUND_PAUSE: Duration = Duration::from_millis(200);
/// One question to one member.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Rounds between two log lines about members that do not answer.
const ROUNDS_PER_LOG: u32 = 25;

#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error(
        "member {member:x} has already been bootstrapped, but its data directory is empty; \
         remove it from the cluster and add it again"
    )]
    AlreadyBootstrapped { member: u64 },
    #[error("raft did not initialise: {0}")]
    Raft(String),
}

/// What this member tells others about itself before they form a cluster.
pub struct Forming {
    identity: Identity,
    view: View,
    formed: AtomicBool,
}

impl Forming {
    pub fn new(identity: Identity, view: View, formed: bool) -> Forming {
        Forming {
            identity,
            view,
            formed: AtomicBool::new(formed),
        }
    }
}

impl Formation for Forming {
    fn probe(&self, asking: u64) -> peer::ProbeResponse {
        peer::ProbeResponse {
            member: self.identity.member,
            cluster: self.identity.cluster,
            formed: self.formed.load(Ordering::Acquire),
            bootstrapped: self.view.attributes(asking).is_some(),
        }
    }
}

pub struct Bootstrap {
    pub identity: Identity,
    pub initial: InitialCluster,
    pub peers: Arc<Peers>,
    pub raft: Raft,
    pub handler: Arc<Handler>,
    pub forming: Arc<Forming>,
}

impl Bootstrap {
    /// Returns once this member may take part.
    pub async fn run(&self) -> Result<(), BootstrapError> {
        let members = self.initial.by_id();
        let mut rounds = 0_u32;
        loop {
            let answers = self.ask(&members).await;
            let mut unformed = 1;
            let mut formed = false;
            for answer in answers.iter().flatten() {
                if answer.formed && answer.bootstrapped {
                    let member = self.identity.member;
                    return Err(BootstrapError::AlreadyBootstrapped { member });
                }
                formed |= answer.formed;
                unformed += usize::from(!answer.formed);
            }
            if formed {
                tracing::info!("the cluster has been formed; waiting for its leader");
                self.admit();
                return Ok(());
            }
            if unformed > members.len() / 2 {
                return self.initialise(members).await;
            }
            if rounds.is_multiple_of(ROUNDS_PER_LOG) {
                tracing::info!(
                    answered = unformed,
                    members = members.len(),
                    "waiting for a majority of the initial cluster"
                );
            }
            rounds = rounds.wrapping_add(1);
            sleep(ROUND_PAUSE).await;
        }
    }

    async fn ask(&self, members: &[(u64, Peer)]) -> Vec<Option<peer::ProbeResponse>> {
        let question = peer::ProbeRequest {
            member: self.identity.member,
        };
        let others = members.iter().filter(|(id, _)| *id != self.identity.member);
        join_all(others.map(|(id, node)| {
            let caller = self.peers.caller(*id, node);
            async move {
                caller
                    .call(Kind::Probe, &question, PROBE_TIMEOUT)
                    .await
                    .ok()
            }
        }))
        .await
    }

    async fn initialise(&self, members: Vec<(u64, Peer)>) -> Result<(), BootstrapError> {
        let members: BTreeMap<u64, Peer> = members.into_iter().collect();
        self.admit();
        match self.raft.initialize(members).await {
            Ok(()) => Ok(()),
            // Another member was quicker and its first entries have arrived already.
            Err(openraft::errors::RaftError::APIError(
                openraft::errors::InitializeError::NotAllowed(_),
            )) => Ok(()),
            Err(error) => Err(BootstrapError::Raft(error.to_string())),
        }
    }

    /// From here on votes are given and entries are taken.
    pub fn admit(&self) {
        self.forming.formed.store(true, Ordering::Release);
        self.handler.admitted.store(true, Ordering::Release);
    }
}
