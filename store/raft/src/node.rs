//! The member's consensus, as the rest of the server uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_apply::{Outcome, View};
use mainstay_auth::Caller;
use mainstay_lease::Leases;
use mainstay_proto::entry::{self, command::Body};
use openraft::async_runtime::WatchReceiver;
use tokio::time::{Instant, sleep, timeout_at};

use crate::changes::Changes;
use crate::corruption::Corruption;
use crate::leadership::Leadership;
use crate::lease::{LeaseCalls, LeaseError};
use crate::membership::change::{ChangeError, Changer};
use crate::membership::removal::Removal;
use crate::membership::rules::Change;
use crate::membership::{Member, is_learner, roster};
use crate::peers::Peers;
use crate::propose::{ProposeError, Proposer};
use crate::read_index::{ReadError, ReadIndex};
use crate::status::{NodeMetrics, NodeStatus, PeerMetrics};
use crate::transfer::{Transfer, TransferError};
use crate::types::Raft;

/// Pause before this member publishes itself again.
const PUBLISH_PAUSE: Duration = Duration::from_millis(200);

/// A handle to this member; clones are cheap.
#[derive(Clone)]
pub struct Node(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub own: u64,
    pub cluster: u64,
    pub term: Arc<AtomicU64>,
    pub raft: Raft,
    pub leadership: Arc<Leadership>,
    pub peers: Arc<Peers>,
    pub proposer: Arc<Proposer>,
    pub read_index: Arc<ReadIndex>,
    pub lease_calls: LeaseCalls,
    pub corruption: Corruption,
    pub changer: Arc<Changer>,
    pub transfer: Arc<Transfer>,
    pub removal: Removal,
    pub view: View,
    pub election_timeout: Duration,
    pub tasks: parking_lot::Mutex<Vec<tokio::task::AbortHandle>>,
    pub stop: tokio_util::sync::CancellationToken,
    #[cfg(feature = "planted-faults")]
    pub skip_read_index: bool,
}

impl Node {
    pub fn member_id(&self) -> u64 {
        self.0.own
    }

    pub fn cluster_id(&self) -> u64 {
        self.0.cluster
    }

    pub fn term(&self) -> u64 {
        self.0.term.load(Ordering::Relaxed)
    }

    /// The leader, or `None` when there is none that this member can vouch for.
    pub fn leader(&self) -> Option<u64> {
        self.0.leadership.leader()
    }

    pub fn is_leader(&self) -> bool {
        self.0.leadership.leading_term().is_some()
    }

    pub fn is_learner(&self) -> bool {
        is_learner(&self.0.view, self.0.own)
    }

    /// Tells when the leader, the term or the members may have changed.
    pub fn changes(&self) -> Changes {
        Changes::new(&self.0.leadership, self.0.stop.clone())
    }

    pub fn leases(&self) -> &Leases {
        &self.0.lease_calls.here.leases
    }

    /// Replicates a command of this member's own and waits until this member has applied it. See
    /// [`ProposeError`] for what each error says about whether it may still happen. What a client
    /// asks for goes by [`Node::propose_for`]: here no right is needed.
    pub async fn propose(&self, body: Body, deadline: Instant) -> Result<Outcome, ProposeError> {
        self.propose_for(Caller::Member, body, deadline).await
    }

    /// The same on behalf of a client, whose rights apply looks at.
    pub async fn propose_for(
        &self,
        caller: Caller,
        body: Body,
        deadline: Instant,
    ) -> Result<Outcome, ProposeError> {
        self.0.proposer.propose(caller, body, deadline).await
    }

    /// Returns once a read of the local store is linearizable: it sees every write that was
    /// acknowledged anywhere before the call.
    pub async fn read_barrier(&self, deadline: Instant) -> Result<(), ReadError> {
        #[cfg(feature = "planted-faults")]
        if self.0.skip_read_index {
            return Ok(());
        }
        let index = self.0.read_index.index(deadline).await?;
        if self.0.view.applied_index() >= index {
            return Ok(());
        }
        timeout_at(deadline, self.0.view.wait_applied(index))
            .await
            .map_err(|_| ReadError::Timeout)
    }

    pub fn status(&self) -> NodeStatus {
        let metrics = self.0.raft.data_metrics();
        let last_index = metrics.borrow_watched().last_log.map_or(0, |id| id.index);
        NodeStatus {
            leader: self.leader(),
            term: self.term(),
            last_index,
            applied_index: self.0.view.applied_index(),
            learner: self.is_learner(),
        }
    }

    /// Every member, sorted by id, with what it has published of itself.
    pub fn members(&self) -> Vec<Member> {
        roster(&self.0.view)
    }

    /// Adds, removes, updates or promotes a member, wherever the leader is, and returns once it has
    /// been applied here.
    pub async fn change(&self, change: Change, deadline: Instant) -> Result<(), ChangeError> {
        self.0.changer.change(change, deadline).await
    }

    /// Returns once this member takes part as what it was added as: a voter votes, a learner is in
    /// the membership.
    pub async fn admitted(&self) {
        let own = self.0.own;
        let takes_part = |member: &Member| member.id == own && (member.votes || member.learner);
        let admitted = |view: &View| roster(view).iter().any(takes_part);
        self.0.view.wait_until(admitted).await;
    }

    /// Returns once this member is known to have been removed.
    pub async fn removed(&self) {
        self.0.removal.known().await;
    }

    /// Hands leadership to a voter and waits, at most an election timeout and a half, until it
    /// leads.
    pub async fn move_leader(&self, target: u64) -> Result<(), TransferError> {
        self.0.transfer.move_to(target).await
    }

    /// Seconds the lease has again, 0 if it is gone.
    pub async fn lease_renew(&self, id: i64, deadline: Instant) -> Result<i64, LeaseError> {
        self.0.lease_calls.renew(id, deadline).await
    }

    /// Seconds left (-1 if there is no such lease) and seconds granted.
    pub async fn lease_ttl(&self, id: i64, deadline: Instant) -> Result<(i64, i64), LeaseError> {
        self.0.lease_calls.ttl(id, deadline).await
    }

    /// Every lease, the one that runs out first in front.
    pub async fn lease_list(&self, deadline: Instant) -> Result<Vec<i64>, LeaseError> {
        self.0.lease_calls.list(deadline).await
    }

    /// Comparing what this member holds with what the others hold.
    pub fn corruption(&self) -> &Corruption {
        &self.0.corruption
    }

    /// Tells the cluster this member's name and client URLs; tries until it has been applied.
    pub async fn publish(&self, name: String, client_urls: Vec<String>) {
        let publish = entry::Publish {
            member: self.0.own,
            name,
            client_urls,
        };
        loop {
            let deadline = Instant::now() + self.0.election_timeout * 5;
            match self.propose(Body::Publish(publish.clone()), deadline).await {
                Ok(_) | Err(ProposeError::Stopped) => return,
                Err(error) => tracing::debug!(%error, "this member is not published yet"),
            }
            sleep(PUBLISH_PAUSE).await;
        }
    }

    /// Ends when raft has stopped by itself, with the reason: the process must stop then.
    pub async fn failed(&self) -> String {
        let mut metrics = self.0.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_watched().running_state {
                return fatal.to_string();
            }
            if metrics.changed().await.is_err() {
                return "raft has ended".to_owned();
            }
        }
    }

    /// Gives leadership away if this member has it and somebody can take it. It ends then.
    pub async fn resign(&self) {
        self.0.transfer.resign_and_end().await;
    }

    /// Stops raft and every task of this member. Nothing is lost: what was acknowledged is on disk.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        for task in self.0.tasks.lock().drain(..) {
            task.abort();
        }
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(%error, "raft did not end cleanly");
        }
    }

    pub fn metrics(&self) -> NodeMetrics {
        let data = self.0.raft.data_metrics();
        let committed = data
            .borrow_watched()
            .cluster_committed
            .map_or(0, |id| id.index);
        NodeMetrics {
            leader_changes: self.0.leadership.changes(),
            committed_index: committed,
            applied_index: self.0.view.applied_index(),
            pending: self.0.proposer.outstanding() as u64,
            failed: self.0.proposer.failed(),
            peers: self
                .0
                .peers
                .traffic()
                .into_iter()
                .map(|(id, traffic)| PeerMetrics { id, traffic })
                .collect(),
        }
    }
}
