//! Proposals: from a request on any member to an entry in the leader's log.
//!
//! The member that took a request waits for its own apply, wherever the leader is. A command is
//! handed over at most once unless it is certain that it was not appended: a command whose fate
//! is unknown is never sent again, because it may be applied twice (etcd's clients treat the
//! timeout as "may have happened").

mod fate;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use mainstay_apply::{ApplyError, Outcome, View, Waiters};
use mainstay_auth::Caller;
use mainstay_proto::entry::command::Body;
use mainstay_proto::peer;
use openraft::errors::ClientWriteError;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use self::fate::Fate;
use crate::leadership::Leadership;
use crate::membership::Members;
use crate::peer::frame::Kind;
use crate::peers::Peers;
use crate::types::{Command, Raft};

/// Request number of a command that nobody waits for.
const NOBODY: u64 = 0;
/// Requests of this member that may wait for their entry; more are refused ("too many requests").
/// etcd allows 5,000 entries between commit and apply.
pub const OUTSTANDING_MAX: usize = 20_000;
/// Bytes of such requests, likewise.
pub const OUTSTANDING_BYTES_MAX: usize = 256 << 20;
/// One batch to raft, or one frame to the leader.
const BATCH_ENTRIES_MAX: usize = 2048;
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Frames on their way to the leader at a time. One would idle through each round trip.
const FORWARDS_MAX: usize = 4;
/// A leader that does not answer a frame within this has an unknown part of it.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause where there is no leader, or it refused.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How often a waiting request looks whether its term has passed.
const FATE_CHECK: Duration = Duration::from_millis(250);
/// etcd's request header inside its own entry; counted so that limits agree to the byte.
const ETCD_HEADER_BYTES: usize = 14;

#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    #[error("there was no leader to propose to in time")]
    NoLeader,
    #[error("proposal was not applied in time")]
    Timeout,
    #[error("leader was lost while the proposal was under way")]
    TimeoutLeaderFail,
    #[error("too many requests are waiting")]
    TooManyRequests,
    #[error("request is too large")]
    TooLarge,
    #[error("member is stopping")]
    Stopped,
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

struct Pending {
    bytes: Bytes,
    fate: Fate,
    /// A withdrawn request keeps its place until it has left the queue, or a stream of requests
    /// that are given up at once would fill the memory.
    _place: Arc<Place>,
}

pub struct Proposer {
    own: u64,
    request_bytes_max: usize,
    quota_bytes: i64,
    raft: Raft,
    leadership: Arc<Leadership>,
    members: Arc<Members>,
    peers: Arc<Peers>,
    waiters: Waiters,
    view: View,
    queue: Mutex<VecDeque<Pending>>,
    arrived: Notify,
    forwards: Arc<Semaphore>,
    next: AtomicU64,
    outstanding: Arc<Outstanding>,
    failed: AtomicU64,
}

/// The parts of the member that a proposer works with.
pub struct Parts {
    pub own: u64,
    pub request_bytes_max: usize,
    pub quota_bytes: i64,
    pub raft: Raft,
    pub leadership: Arc<Leadership>,
    pub members: Arc<Members>,
    pub peers: Arc<Peers>,
    pub waiters: Waiters,
    pub view: View,
}

impl Proposer {
    pub fn new(parts: Parts) -> Proposer {
        Proposer {
            own: parts.own,
            request_bytes_max: parts.request_bytes_max,
            quota_bytes: parts.quota_bytes,
            raft: parts.raft,
            leadership: parts.leadership,
            members: parts.members,
            peers: parts.peers,
            waiters: parts.waiters,
            view: parts.view,
            queue: Mutex::new(VecDeque::new()),
            arrived: Notify::new(),
            forwards: Arc::new(Semaphore::new(FORWARDS_MAX)),
            // Requests of an earlier run may still be applied: they must find no waiter.
            next: AtomicU64::new(rand::random()),
            outstanding: Arc::default(),
            failed: AtomicU64::new(0),
        }
    }

    pub fn outstanding(&self) -> usize {
        self.outstanding.requests.load(Ordering::Relaxed)
    }

    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Returns once this member has applied the command. After `Timeout` and `TimeoutLeaderFail`
    /// it may still be applied, later; after any other error it has not been and will not be.
    pub async fn propose(
        &self,
        caller: Caller,
        body: Body,
        deadline: Instant,
    ) -> Result<Outcome, ProposeError> {
        if body.encoded_len() + ETCD_HEADER_BYTES > self.request_bytes_max {
            return Err(ProposeError::TooLarge);
        }
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let bytes = mainstay_apply::encode(self.own, request, caller, self.quota_bytes, body)?;
        let place = self.outstanding.place(bytes.len())?;
        let mut reply = self.waiters.register(request);
        let fate = Fate::default();
        let _leave = Leave {
            waiters: &self.waiters,
            request,
            fate: &fate,
        };
        self.queue.lock().push_back(Pending {
            bytes,
            fate: fate.clone(),
            _place: place.clone(),
        });
        self.arrived.notify_one();
        loop {
            let until = deadline.min(Instant::now() + FATE_CHECK);
            match timeout_at(until, &mut reply).await {
                Ok(Ok(reply)) => return reply.map_err(ProposeError::Apply),
                Ok(Err(_)) => return Err(ProposeError::Stopped),
                Err(_) => {}
            }
            let late = Instant::now() >= deadline;
            if let Some(error) = fate.verdict(self.view.applied_term(), late) {
                self.failed.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
        }
    }

    /// Hands over a command that nobody waits for, and only while this member leads `term`.
    pub async fn propose_as_leader(&self, term: u64, bodies: Vec<Body>) {
        if self.leadership.leading_term() != Some(term) {
            return;
        }
        let commands = bodies
            .into_iter()
            .map(|body| {
                let quota = self.quota_bytes;
                mainstay_apply::encode(self.own, NOBODY, Caller::Member, quota, body).map(Command)
            })
            .collect::<Result<Vec<_>, _>>();
        let Ok(commands) = commands else {
            return;
        };
        if let Ok(results) = self.raft.client_write_many(commands).await {
            results.for_each(|_| async {}).await;
        }
    }

    /// For a follower's frame: appends its commands if this member leads, and says in which term.
    pub async fn accept_forward(&self, commands: Vec<Bytes>) -> Option<u64> {
        let term = self.leadership.leading_term()?;
        if !commands.iter().all(mainstay_apply::understands) {
            tracing::error!("a member forwarded what apply would not understand; refused");
            return None;
        }
        let commands = commands.into_iter().map(Command);
        let results = self.raft.client_write_many(commands).await.ok()?;
        tokio::spawn(results.for_each(|_| async {}));
        Some(term)
    }

    /// Moves requests from the queue to the leader until the member stops.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.arrived.notified().await;
            loop {
                let batch = self.take();
                if batch.is_empty() {
                    break;
                }
                self.hand_over(batch).await;
            }
        }
    }

    fn take(&self) -> Vec<Pending> {
        let mut queue = self.queue.lock();
        let mut batch = Vec::new();
        let mut bytes = 0_usize;
        while batch.len() < BATCH_ENTRIES_MAX && bytes < BATCH_BYTES_MAX {
            let Some(pending) = queue.pop_front() else {
                break;
            };
            if pending.fate.claim() {
                bytes = bytes.saturating_add(pending.bytes.len());
                batch.push(pending);
            }
        }
        batch
    }

    /// Only for commands that certainly have not been appended anywhere.
    fn give_back(&self, batch: Vec<Pending>) {
        let mut queue = self.queue.lock();
        for pending in batch.into_iter().rev() {
            if pending.fate.give_back() {
                queue.push_front(pending);
            }
        }
        drop(queue);
        self.arrived.notify_one();
    }

    async fn hand_over(self: &Arc<Self>, batch: Vec<Pending>) {
        if let Some(term) = self.leadership.leading_term() {
            return self.append(term, batch).await;
        }
        match self.leadership.claimed_leader() {
            Some(leader) if leader != self.own => {
                if let Some(peer) = self.members.peer(leader) {
                    let Ok(permit) = self.forwards.clone().acquire_owned().await else {
                        return self.give_back(batch);
                    };
                    let caller = self.peers.caller(leader, &peer);
                    let proposer = self.clone();
                    tokio::spawn(async move {
                        proposer.forward(caller, batch).await;
                        drop(permit);
                    });
                    return;
                }
                self.give_back(batch);
                sleep(RETRY_PAUSE).await;
            }
            _ => {
                self.give_back(batch);
                sleep(RETRY_PAUSE).await;
            }
        }
    }

    async fn append(self: &Arc<Self>, term: u64, batch: Vec<Pending>) {
        for pending in &batch {
            pending.fate.handed_over(term);
        }
        let commands: Vec<Command> = batch
            .iter()
            .map(|pending| Command(pending.bytes.clone()))
            .collect();
        let Ok(mut results) = self.raft.client_write_many(commands).await else {
            for pending in batch {
                pending.fate.lost();
            }
            return;
        };
        let proposer = self.clone();
        tokio::spawn(async move {
            let mut refused = Vec::new();
            for pending in batch {
                match results.next().await {
                    Some(Ok(Ok(_))) => {}
                    Some(Ok(Err(ClientWriteError::ForwardToLeader(_)))) => refused.push(pending),
                    _ => pending.fate.lost(),
                }
            }
            if !refused.is_empty() {
                sleep(RETRY_PAUSE).await;
                proposer.give_back(refused);
            }
        });
    }

    async fn forward(&self, caller: crate::peer::call::Caller, batch: Vec<Pending>) {
        let term = self.leadership.term();
        let question = peer::ForwardRequest {
            commands: batch.iter().map(|pending| pending.bytes.clone()).collect(),
        };
        let answer: Result<peer::ForwardResponse, _> =
            caller.call(Kind::Forward, &question, FORWARD_TIMEOUT).await;
        match answer {
            Ok(answer) if answer.accepted => {
                for pending in batch {
                    pending.fate.handed_over(answer.term);
                }
            }
            Ok(_) => {
                sleep(RETRY_PAUSE).await;
                self.give_back(batch);
            }
            Err(error) if error.never_sent() => {
                sleep(RETRY_PAUSE).await;
                self.give_back(batch);
            }
            Err(error) => {
                tracing::debug!(%error, "forwarded requests have an unknown fate");
                for pending in batch {
                    pending.fate.handed_over(term);
                }
            }
        }
    }
}

/// Requests that hold a place, and their bytes.
#[derive(Default)]
struct Outstanding {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// A request's share of the limits, given back however it ends.
struct Place {
    outstanding: Arc<Outstanding>,
    bytes: usize,
}

impl Outstanding {
    fn place(self: &Arc<Self>, bytes: usize) -> Result<Arc<Place>, ProposeError> {
        let place = Arc::new(Place {
            outstanding: self.clone(),
            bytes,
        });
        let requests = self.requests.fetch_add(1, Ordering::Relaxed);
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if requests >= OUTSTANDING_MAX || held.saturating_add(bytes) > OUTSTANDING_BYTES_MAX {
            return Err(ProposeError::TooManyRequests);
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let outstanding = &self.outstanding;
        outstanding.requests.fetch_sub(1, Ordering::Relaxed);
        outstanding.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Forgets the waiter, and withdraws the request where it has not been handed over.
struct Leave<'a> {
    waiters: &'a Waiters,
    request: u64,
    fate: &'a Fate,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.waiters.forget(self.request);
        self.fate.withdraw();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_in_number_and_bytes_and_come_back() {
        let outstanding: Arc<Outstanding> = Arc::default();
        let mut held: Vec<_> = (0..OUTSTANDING_MAX)
            .map(|_| outstanding.place(1).unwrap())
            .collect();
        let over = outstanding.place(1);
        assert!(matches!(over, Err(ProposeError::TooManyRequests)));
        held.pop();
        held.push(outstanding.place(1).unwrap());
        drop(held);
        let whole = outstanding.place(OUTSTANDING_BYTES_MAX).unwrap();
        // The queue's share outlives the request's own.
        let queued = whole.clone();
        drop(whole);
        assert!(outstanding.place(1).is_err());
        drop(queued);
        assert!(outstanding.place(1).is_ok());
        assert_eq!(outstanding.requests.load(Ordering::Relaxed), 0);
        assert_eq!(outstanding.bytes.load(Ordering::Relaxed), 0);
    }
}
