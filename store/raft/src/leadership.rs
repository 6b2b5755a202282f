//! Who leads, as far as this member can vouch for it.
//!
//! openraft goes on naming a leader that has fallen silent, and a leader that has lost its
//! followers goes on calling itself one. etcd's clients expect "no leader" in both cases, so a
//! leader counts only while it has been heard, or has itself been confirmed, within a limit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_lease::Leases;
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use tokio::time::Instant;

use crate::peers::Peers;
use crate::types::{Raft, TypeConfig};

/// A leader unheard for this many election timeouts is no leader. etcd's followers give up after
/// one to two of them.
const SILENCE_ELECTION_TIMEOUTS: u32 = 2;

/// A leader that no quorum has confirmed for this many election timeouts takes no commands. openraft
/// itself refuses them after one and a half, and what was accepted from a follower should not then
/// be refused.
const WRITABLE_ELECTION_TIMEOUTS: f32 = 1.25;

type Watch<T> = WatchReceiverOf<TypeConfig, T>;

/// What raft tells of leader, term, role and members.
pub type ServerWatch = Watch<RaftServerMetrics<TypeConfig>>;

pub struct Leadership {
    own: u64,
    silence_max: Duration,
    unconfirmed_max: Duration,
    started: Instant,
    /// Microseconds after `started` at which the leader was last heard.
    heard_micros: AtomicU64,
    changes: AtomicU64,
    /// The last term that this member has begun to give away; 0 is none.
    yielded_term: AtomicU64,
    server: ServerWatch,
    peers: Arc<Peers>,
}

impl Leadership {
    pub fn new(own: u64, raft: &Raft, peers: Arc<Peers>, election_timeout: Duration) -> Leadership {
        Leadership {
            own,
            silence_max: election_timeout.saturating_mul(SILENCE_ELECTION_TIMEOUTS),
            unconfirmed_max: election_timeout.mul_f32(WRITABLE_ELECTION_TIMEOUTS),
            started: Instant::now(),
            heard_micros: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            yielded_term: AtomicU64::new(0),
            server: raft.server_metrics(),
            peers,
        }
    }

    /// The leader, if there is one that this member has lately heard of.
    pub fn leader(&self) -> Option<u64> {
        let server = self.server.borrow_watched();
        let leader = server.current_leader?;
        let fresh = if leader == self.own {
            drop(server);
            self.confirmed_within(self.silence_max)
        } else {
            self.silence() < self.silence_max
        };
        fresh.then_some(leader)
    }

    /// The leader as raft believes, heard or not: where to send what must go to the leader.
    pub fn claimed_leader(&self) -> Option<u64> {
        self.server.borrow_watched().current_leader
    }

    /// From now on no command is taken in this term. openraft refuses them once a transfer has
    /// begun, and a command that was accepted from a follower and then refused would be answered
    /// as lost where the follower could have asked the next leader.
    pub fn yield_term(&self) {
        self.yielded_term.store(self.term(), Ordering::Release);
    }

    /// The term this member leads in, while a quorum has confirmed it lately and until it gives
    /// leadership away.
    pub fn leading_term(&self) -> Option<u64> {
        let server = self.server.borrow_watched();
        if server.state != ServerState::Leader || !server.vote.is_committed() {
            return None;
        }
        let term = server.vote.leader_id.term;
        drop(server);
        let yielded = self.yielded_term.load(Ordering::Acquire) == term;
        (!yielded && self.confirmed_within(self.unconfirmed_max)).then_some(term)
    }

    /// Whether raft still takes this member for the leader of that term.
    pub fn is_leader_of(&self, term: u64) -> bool {
        let server = self.server.borrow_watched();
        server.state == ServerState::Leader && server.vote.leader_id.term == term
    }

    pub fn term(&self) -> u64 {
        self.server.borrow_watched().vote.leader_id.term
    }

    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    pub fn count_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Called for every append or heartbeat that was accepted from the leader.
    pub fn heard(&self) {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.heard_micros.store(micros, Ordering::Relaxed);
    }

    /// Ends when the leader, the term or this member's role may have changed.
    pub fn watch(&self) -> ServerWatch {
        self.server.clone()
    }

    fn silence(&self) -> Duration {
        let heard = Duration::from_micros(self.heard_micros.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(heard)
    }

    fn confirmed_within(&self, limit: Duration) -> bool {
        self.confirmed(|sent| sent.elapsed() < limit)
    }

    /// Whether a quorum has taken an append that was sent at `begin` or later: nobody else led then.
    pub fn confirmed_since(&self, begin: Instant) -> bool {
        self.confirmed(|sent| sent >= begin)
    }

    /// Whether a quorum has taken an append that was sent at a time that counts.
    ///
    /// openraft's own `last_quorum_acked` counts too much for that: an answer to one append stands
    /// for every later one that holds no further entries (`InflightAppendQueue::drain_acked` of
    /// alpha.37). A leader that was stopped would find itself confirmed by an answer from before.
    fn confirmed(&self, counts: impl Fn(Instant) -> bool) -> bool {
        let server = self.server.borrow_watched();
        let lists = server.membership_config.get_joint_config();
        quorum_of_each(lists, |id| {
            id == self.own || self.peers.acked(id).is_some_and(&counts)
        })
    }
}

/// Whether more than half of each list confirms. While voters change there are two lists, and
/// each must agree (section 6 of the Raft paper).
fn quorum_of_each(lists: &[BTreeSet<u64>], confirms: impl Fn(u64) -> bool) -> bool {
    let agrees = |voters: &BTreeSet<u64>| {
        let confirming = voters.iter().filter(|id| confirms(**id)).count();
        confirming > voters.len() / 2
    };
    lists.iter().all(agrees)
}

/// Keeps the term where others read it, tells the lease clock when this member leads, and counts
/// changes of leader.
pub async fn follow(leadership: Arc<Leadership>, leases: Leases, term: Arc<AtomicU64>) {
    let mut server = leadership.watch();
    let mut leading_in = None;
    let mut last_leader = None;
    loop {
        let (state, vote, leader) = {
            let now = server.borrow_watched();
            (now.state, now.vote, now.current_leader)
        };
        let now = vote.leader_id.term;
        term.store(now, Ordering::Relaxed);
        let leads = state == ServerState::Leader && vote.committed;
        if leads && leading_in != Some(now) {
            leases.clock().promote();
            leading_in = Some(now);
        } else if !leads && leading_in.take().is_some() {
            leases.clock().demote();
        }
        if leader.is_some() && leader != last_leader {
            leadership.count_change();
            tracing::info!(
                leader = leader.map(|id| format!("{id:x}")),
                term = now,
                "leader elected"
            );
            last_leader = leader;
        }
        if server.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confirmed(lists: &[&[u64]], by: &[u64]) -> bool {
        let lists: Vec<_> = lists
            .iter()
            .map(|ids| ids.iter().copied().collect())
            .collect();
        quorum_of_each(&lists, |id| by.contains(&id))
    }

    #[test]
    fn more_than_half_confirm() {
        assert!(confirmed(&[&[1]], &[1]));
        assert!(!confirmed(&[&[1, 2]], &[1]));
        assert!(confirmed(&[&[1, 2, 3]], &[1, 3]));
        assert!(!confirmed(&[&[1, 2, 3, 4]], &[1, 2]));
        assert!(confirmed(&[&[1, 2, 3, 4, 5]], &[1, 4, 5]));
    }

    #[test]
    fn learners_and_strangers_do_not_count() {
        assert!(!confirmed(&[&[1, 2, 3]], &[1, 4, 5]));
        // A leader that is no voter itself needs a quorum of the others.
        assert!(!confirmed(&[&[2, 3, 4]], &[1, 2]));
        assert!(confirmed(&[&[2, 3, 4]], &[1, 2, 4]));
    }

    #[test]
    fn both_lists_agree_while_voters_change() {
        let change: &[&[u64]] = &[&[1, 2, 3], &[1, 4, 5]];
        assert!(!confirmed(change, &[1, 2, 3]));
        assert!(!confirmed(change, &[1, 4, 5]));
        assert!(confirmed(change, &[1, 2, 4]));
    }
}
