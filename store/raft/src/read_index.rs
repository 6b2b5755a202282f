//! Linearizable reads: which position must be applied before a read may be answered.
//!
//! One set of reads is served at a time; a read joins only a set whose rounds start after it arrived,
//! so reads that come meanwhile share the next one. A round that failed is asked anew and its answer
//! is never reused (etcd issue 20418 was a stale read of that kind).

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use mainstay_proto::peer;
use openraft::ReadPolicy;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::leadership::Leadership;
use crate::membership::Members;
use crate::peer::frame::Kind;
use crate::peers::Peers;
use crate::types::Raft;

/// Beside a round that has no answer by then another one is started (etcd retries likewise).
const ROUND_PATIENCE: Duration = Duration::from_millis(500);
/// A round that takes longer has failed.
const ROUND_TIMEOUT: Duration = Duration::from_secs(3);
/// Rounds beside each other; by then the first of them has failed.
const ROUNDS_MAX: usize = 8;
/// Pause before another try where the last failed at once, for want of a leader.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Between two looks at whether the answers that are on their way have come.
const ACK_LOOK: Duration = Duration::from_millis(1);
/// Reads that may wait for a round; more are refused at once.
pub const WAITING_READS_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("read was not confirmed in time")]
    Timeout,
    #[error("too many reads are waiting")]
    TooManyRequests,
    #[error("member is stopping")]
    Stopped,
}

pub struct ReadIndex {
    raft: Raft,
    leadership: Arc<Leadership>,
    members: Arc<Members>,
    peers: Arc<Peers>,
    waiting: Mutex<Vec<oneshot::Sender<u64>>>,
    arrived: Notify,
}

impl ReadIndex {
    pub fn new(
        raft: Raft,
        leadership: Arc<Leadership>,
        members: Arc<Members>,
        peers: Arc<Peers>,
    ) -> ReadIndex {
        ReadIndex {
            raft,
            leadership,
            members,
            peers,
            waiting: Mutex::new(Vec::new()),
            arrived: Notify::new(),
        }
    }

    /// The index that a read arriving now must see applied.
    pub async fn index(&self, deadline: Instant) -> Result<u64, ReadError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            if waiting.len() >= WAITING_READS_MAX {
                waiting.retain(|reader| !reader.is_closed());
                if waiting.len() >= WAITING_READS_MAX {
                    return Err(ReadError::TooManyRequests);
                }
            }
            waiting.push(answer);
        }
        self.arrived.notify_one();
        match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(index)) => Ok(index),
            Ok(Err(_)) => Err(ReadError::Stopped),
            Err(_) => Err(ReadError::Timeout),
        }
    }

    /// Serves the readers that wait, set by set, until the member stops.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.arrived.notified().await;
            loop {
                let mut readers = std::mem::take(&mut *self.waiting.lock());
                readers.retain(|reader| !reader.is_closed());
                if readers.is_empty() {
                    break;
                }
                match self.answer().await {
                    Some(index) => {
                        for reader in readers {
                            let _ = reader.send(index);
                        }
                    }
                    None => {
                        // These readers arrived before the next round as well: they may join it.
                        self.waiting.lock().append(&mut readers);
                        sleep(RETRY_PAUSE).await;
                    }
                }
            }
        }
    }

    /// The first answer of a round, and of others beside it while it is slow: given up it would
    /// have waited for nothing, and on a slow disk none would ever come to its end. `None` once all
    /// of them have failed.
    async fn answer(&self) -> Option<u64> {
        let mut rounds = FuturesUnordered::new();
        rounds.push(self.round());
        loop {
            match timeout(ROUND_PATIENCE, rounds.next()).await {
                Ok(Some(Some(index))) => return Some(index),
                Ok(Some(None)) => {}
                Ok(None) => return None,
                Err(_) if rounds.len() < ROUNDS_MAX => rounds.push(self.round()),
                Err(_) => {}
            }
        }
    }

    async fn round(&self) -> Option<u64> {
        timeout(ROUND_TIMEOUT, self.ask()).await.ok()?
    }

    /// One question to the leader, or to a quorum where this member leads.
    async fn ask(&self) -> Option<u64> {
        let leader = self.leadership.claimed_leader()?;
        if leader == self.members.own() {
            return self.confirm().await;
        }
        let node = self.members.peer(leader)?;
        let answer: peer::ReadIndexResponse = self
            .peers
            .caller(leader, &node)
            .call(Kind::ReadIndex, &peer::ReadIndexRequest {}, ROUND_TIMEOUT)
            .await
            .ok()?;
        answer.confirmed.then_some(answer.index)
    }

    async fn confirm(&self) -> Option<u64> {
        let (begin, term) = (Instant::now(), self.leadership.term());
        let linearizer = self
            .raft
            .get_read_linearizer(ReadPolicy::ReadIndex)
            .await
            .ok()?;
        // openraft may take an answer from before for one to this round (see `Leadership::confirmed`);
        // the right one is then a round trip away.
        while !self.leadership.confirmed_since(begin) {
            if !self.leadership.is_leader_of(term) {
                return None;
            }
            sleep(ACK_LOOK).await;
        }
        Some(linearizer.read_log_id().index())
    }

    /// For the other members' rounds: `None` where this member does not lead. It joins the same
    /// rounds as local reads, so however many members ask, one round serves them.
    pub async fn index_as_leader(&self) -> Option<u64> {
        self.leadership.leading_term()?;
        self.index(Instant::now() + ROUND_TIMEOUT).await.ok()
    }
}
