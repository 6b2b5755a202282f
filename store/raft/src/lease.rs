//! Lease calls that only the leader can answer, and the leader's revoking of expired leases.

pub mod answers;

use std::sync::Arc;
use std::time::Duration;

use mainstay_lease::Leases;
use mainstay_proto::entry::{self, command::Body};
use mainstay_proto::peer;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::leadership::Leadership;
use crate::lease::answers::Answers;
use crate::membership::Members;
use crate::peer::frame::Kind;
use crate::peers::Peers;
use crate::propose::Proposer;

/// How often the leader looks for expired leases (etcd: 500 ms).
const EXPIRY_INTERVAL: Duration = Duration::from_millis(100);
/// Leases revoked at one look: with the interval, ten thousand a second.
const REVOKES_MAX: usize = 1000;
/// Pause before the leader is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// One try at asking the leader.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    #[error("there is no leader to answer for leases")]
    NoLeader,
}

/// What lease calls need of the member.
pub struct LeaseCalls {
    pub here: Arc<Answers>,
    pub members: Arc<Members>,
    pub peers: Arc<Peers>,
}

impl LeaseCalls {
    /// Seconds granted anew, 0 for a lease that is gone.
    pub async fn renew(&self, id: i64, deadline: Instant) -> Result<i64, LeaseError> {
        loop {
            let here = self.here.renew(id).await;
            let answer = if here.leading {
                here
            } else {
                let question = peer::LeaseRenewRequest { id };
                self.ask(Kind::LeaseRenew, &question).await
            };
            match answer {
                answer if answer.leading && answer.ttl >= 0 => return Ok(answer.ttl),
                _ if Instant::now() >= deadline => return Err(LeaseError::NoLeader),
                _ => sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// Seconds left (-1: no such lease) and seconds granted.
    pub async fn ttl(&self, id: i64, deadline: Instant) -> Result<(i64, i64), LeaseError> {
        loop {
            let here = self.here.ttl(id).await;
            let answer = if here.leading {
                here
            } else {
                self.ask(Kind::LeaseTtl, &peer::LeaseTtlRequest { id })
                    .await
            };
            match answer {
                answer if answer.leading => return Ok((answer.ttl, answer.granted_ttl)),
                _ if Instant::now() >= deadline => return Err(LeaseError::NoLeader),
                _ => sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// Ids by time left.
    pub async fn list(&self, deadline: Instant) -> Result<Vec<i64>, LeaseError> {
        loop {
            let here = self.here.list().await;
            let answer = if here.leading {
                here
            } else {
                self.ask(Kind::LeaseList, &peer::Empty {}).await
            };
            match answer {
                answer if answer.leading => return Ok(answer.ids),
                _ if Instant::now() >= deadline => return Err(LeaseError::NoLeader),
                _ => sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// The leader's answer, or an empty one, which says "not leading".
    async fn ask<A: prost::Message + Default>(&self, kind: Kind, q: &impl prost::Message) -> A {
        let Some(leader) = self.here.leadership.claimed_leader() else {
            return A::default();
        };
        let Some(node) = self.members.peer(leader) else {
            return A::default();
        };
        if leader == self.members.own() {
            return A::default();
        }
        let caller = self.peers.caller(leader, &node);
        caller.call(kind, q, ASK_TIMEOUT).await.unwrap_or_default()
    }
}

/// Revokes what has expired, while this member leads. The entry carries the term: a leader that
/// was stopped and replaced takes nothing away when it wakes (etcd issue 15247).
pub async fn expire(leadership: Arc<Leadership>, leases: Leases, proposer: Arc<Proposer>) {
    let mut ticks = interval(EXPIRY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(term) = leadership.leading_term() else {
            continue;
        };
        let expired = leases.clock().expired(REVOKES_MAX);
        if expired.is_empty() {
            continue;
        }
        let revokes = expired
            .into_iter()
            .map(|id| {
                Body::LeaseRevoke(entry::LeaseRevoke {
                    id,
                    expired_in_term: term,
                })
            })
            .collect();
        proposer.propose_as_leader(term, revokes).await;
    }
}
