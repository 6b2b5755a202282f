//! Handing leadership over: when an operator asks for it, when the leader stops, and before it is
//! removed.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::time::{Instant, sleep};

use crate::leadership::Leadership;
use crate::membership::Members;
use crate::types::Raft;

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
    /// leads.
    pub async fn move_to(&self, target: u64) -> Result<(), TransferError> {
        if self.leadership.leading_term().is_none() {
            return Err(TransferError::NotLeader);
        }
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

    /// Gives leadership away if this member has it and somebody can take it.
    pub async fn resign(&self) {
        if self.leadership.leading_term().is_none() {
            return;
        }
        let Some(target) = self.best_successor() else {
            return;
        };
        match self.move_to(target).await {
            Ok(()) => tracing::info!(
                to = format!("{target:x}"),
                "leadership has been handed over"
            ),
            Err(error) => tracing::warn!(%error, "leadership could not be handed over"),
        }
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
