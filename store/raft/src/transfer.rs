//! Handing leadership over: when an operator asks for it, when the leader stops, and before it is
//! removed.
//!
//! Once openraft has been told to transfer, the leader takes no commands for the rest of its term,
//! whether anybody takes over or not (`Leader::transfer_to` is never taken back). A leader that stays
//! therefore ends its term and leads in the next but one ([`Transfer::take_back`]).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::raft::{TransferLeaderRequest, VoteRequest};
use tokio::time::{Instant, sleep};

use crate::leadership::Leadership;
use crate::membership::Members;
use crate::types::{Raft, TypeConfig, Vote};

/// Between two looks at whether a transfer has happened.
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    #[error("this member does not lead")]
    NotLeader,
    #[error("the target is not a voter of the cluster")]
    BadTarget,
    #[error("leadership was not taken over in time")]
    Timeout,
}

pub struct Transfer {
    pub raft: Raft,
    pub leadership: Arc<Leadership>,
    pub members: Arc<Members>,
    pub election_timeout: Duration,
}

impl Transfer {
    /// Hands leadership to a voter and waits, at most an election timeout and a half, until it
    /// leads. If it does not, this member goes on leading.
    pub async fn move_to(&self, target: u64) -> Result<(), TransferError> {
        let Some(term) = self.leadership.leading_term() else {
            return Err(TransferError::NotLeader);
        };
        let moved = self.hand_over(target).await;
        if moved == Err(TransferError::Timeout) && self.leadership.is_leader_of(term) {
            // Behind a name: as part of a request's future its type is deeper than the compiler goes.
            let back: Pin<Box<dyn Future<Output = ()> + Send + '_>> =
                Box::pin(self.take_back(term, target));
            back.await;
        }
        moved
    }

    async fn hand_over(&self, target: u64) -> Result<(), TransferError> {
        if !self.members.is_voter(target) {
            return Err(TransferError::BadTarget);
        }
        if target == self.members.own() {
            return Ok(());
        }
        // Before openraft hears of it, so that whatever is accepted is also appended.
        self.leadership.yield_term();
        let trigger = self.raft.trigger();
        if trigger.transfer_leader(target).await.is_err() {
            return Err(TransferError::NotLeader);
        }
        let deadline = Instant::now() + self.election_timeout.mul_f32(1.5);
        while Instant::now() < deadline {
            if self.leadership.claimed_leader() == Some(target) {
                return Ok(());
            }
            sleep(POLL).await;
        }
        Err(TransferError::Timeout)
    }

    /// Leads again after nobody took over. Neither step needs the leases that voters have granted to
    /// this member to run out: it is their leader who asks.
    ///
    /// 1. It votes for the target in the term that the target was to lead in, as if the target had
    ///    asked. That ends its own term; and the target itself may still ask and have that vote, but
    ///    not with a log that is behind.
    /// 2. It stands for election in the term after, to which a late target has to give way.
    async fn take_back(&self, term: u64, target: u64) {
        let vote = Vote::new(term.saturating_add(1), target);
        let last = self.raft.data_metrics().borrow_watched().last_log;
        let mut given: VoteRequest<TypeConfig> = VoteRequest::new(vote, last);
        given.leadership_transfer = true;
        match self.raft.vote(given).await {
            Ok(answer) if answer.vote == vote => {}
            // The target leads after all, or somebody else does.
            other => return tracing::info!(?other, "leadership has gone on meanwhile"),
        }
        let own = TransferLeaderRequest::new(vote, self.members.own(), last);
        match self.raft.handle_transfer_leader(own).await {
            Ok(_) => tracing::warn!(
                to = format!("{target:x}"),
                "leadership was not taken over; this member stands for it again"
            ),
            Err(error) => tracing::warn!(%error, "leadership could not be taken back"),
        }
    }

    /// Gives leadership away if this member has it and somebody can take it. If that fails, it goes
    /// on leading.
    pub async fn resign(&self) {
        if let Some(target) = self.successor() {
            told(self.move_to(target).await, target);
        }
    }

    /// The same for a member that ends: if that fails, nobody leads until the others notice.
    pub async fn resign_and_end(&self) {
        if let Some(target) = self.successor() {
            told(self.hand_over(target).await, target);
        }
    }

    /// Who is to lead instead of this member, if it leads.
    fn successor(&self) -> Option<u64> {
        self.leadership.leading_term()?;
        self.best_successor()
    }

    /// The voter whose log is the furthest.
    fn best_successor(&self) -> Option<u64> {
        let metrics = self.raft.data_metrics();
        let metrics = metrics.borrow_watched();
        let replication = metrics.replication.as_ref()?;
        let others = replication
            .iter()
            .filter(|(id, _)| **id != self.members.own() && self.members.is_voter(**id));
        others
            .filter_map(|(id, matched)| Some((matched.as_ref()?.index, *id)))
            .max()
            .map(|(_, id)| id)
    }
}

fn told(moved: Result<(), TransferError>, target: u64) {
    match moved {
        Ok(()) => tracing::info!(
            to = format!("{target:x}"),
            "leadership has been handed over"
        ),
        Err(error) => tracing::warn!(%error, "leadership could not be handed over"),
    }
}
