//! Changing the members: the member that takes a request asks the leader, the leader appends one
//! entry, and the answer goes out once the member that took it has applied that entry.
//!
//! A change is one entry: the voters before and after differ by one member at most. openraft also
//! knows changes in two entries (joint consensus), which would need somebody to finish them where
//! the leader is lost between the two; they are not used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mainstay_apply::View;
use mainstay_proto::peer;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::raft::Precondition;
use openraft::{ChangeMembers, EntryPayload};
use sha1::{Digest, Sha1};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connectivity::Connectivity;
use super::removal::Removal;
use super::rules::{self, Change, Refusal};
use super::{Members, roster};
use crate::identity::first_eight;
use crate::leadership::Leadership;
use crate::peer::frame::Kind;
use crate::peers::Peers;
use crate::transfer::Transfer;
use crate::types::{Membership, Peer, Raft, StoredMembership};

/// Before another try where there was no leader, or it was not ready.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How long the leader works on one change. The asker waits a little longer.
const LEADER_TIMEOUT: Duration = Duration::from_secs(3);
const ASK_TIMEOUT: Duration = Duration::from_secs(4);

/// What decides about changes beside the members themselves.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// `--strict-reconfig-check`.
    pub strict: bool,
    /// `--max-learners`.
    pub learners_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It may still happen.
    #[error("the change was not applied in time")]
    Timeout,
}

/// How the leader has fared with a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handled {
    Done,
    Refused(Refusal),
    /// Not done and not going to be.
    NotHere,
    /// Handed to raft, with an end that nobody here knows.
    Unknown,
}

/// What raft is to append.
enum Step {
    Membership(Membership),
    Address(u64, Peer),
}

pub struct Changer {
    pub policy: Policy,
    pub transfer: Arc<Transfer>,
    pub raft: Raft,
    pub leadership: Arc<Leadership>,
    pub members: Arc<Members>,
    pub peers: Arc<Peers>,
    pub view: View,
    pub connectivity: Arc<Connectivity>,
    pub removal: Removal,
    /// Held by the leader while it works on a change: there is one at a time.
    pub serial: Mutex<()>,
}

/// The id that etcd gives an added member: of its URLs and the second in which it was added.
pub fn added_id(peer_urls: &[String], unix_seconds: u64) -> u64 {
    let mut urls = peer_urls.to_vec();
    urls.sort();
    let mut hash = Sha1::new();
    hash.update(urls.concat());
    hash.update(unix_seconds.to_string());
    first_eight(&hash.finalize())
}

impl Changer {
    /// Has the change made and waits until it has been applied here.
    pub async fn change(&self, change: Change, deadline: Instant) -> Result<(), ChangeError> {
        if self.policy.strict {
            let near = |id| self.connectivity.is_in_touch(id);
            let reached = |id| self.connectivity.is_reached(id);
            rules::strict(
                &roster(&self.view),
                self.members.own(),
                &change,
                near,
                reached,
            )?;
        }
        loop {
            match self.ask(&change, deadline).await {
                Handled::Refused(refusal) => return Err(refusal.into()),
                // It may have been made all the same; if so it will be seen.
                Handled::Done | Handled::Unknown => break,
                Handled::NotHere if Instant::now() >= deadline => return Err(ChangeError::Timeout),
                Handled::NotHere => sleep(RETRY_PAUSE).await,
            }
        }
        let made = |view: &View| rules::made(&roster(view), &change);
        let own = self.members.own();
        let seen = async {
            tokio::select! {
                () = self.view.wait_until(made) => {}
                // A removed member is sent nothing more: it hears of it, but may never apply it.
                () = self.removal.known(), if change == (Change::Remove { id: own }) => {}
            }
        };
        let seen = timeout_at(deadline, seen).await;
        seen.map_err(|_| ChangeError::Timeout)
    }

    /// One try with whoever leads.
    async fn ask(&self, change: &Change, deadline: Instant) -> Handled {
        let Some(leader) = self.leadership.claimed_leader() else {
            return Handled::NotHere;
        };
        if leader == self.members.own() {
            return self.lead(change).await;
        }
        let Some(node) = self.members.peer(leader) else {
            return Handled::NotHere;
        };
        let patience = ASK_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
        let caller = self.peers.caller(leader, &node);
        let answer: Result<peer::ChangeResponse, _> =
            caller.call(Kind::Change, &question(change), patience).await;
        match answer {
            Ok(answer) => handled(answer.kind()),
            Err(error) if error.never_sent() => Handled::NotHere,
            Err(_) => Handled::Unknown,
        }
    }

    /// Answers a member that has asked this one as the leader.
    pub async fn answer(&self, question: peer::ChangeRequest) -> peer::ChangeResponse {
        let handled = match asked(question) {
            Some(change) => self.lead(&change).await,
            None => Handled::NotHere,
        };
        let mut answer = peer::ChangeResponse::default();
        answer.set_kind(kind(handled));
        answer
    }

    async fn lead(&self, change: &Change) -> Handled {
        let until = Instant::now() + LEADER_TIMEOUT;
        let Ok(_serial) = timeout_at(until, self.serial.lock()).await else {
            return Handled::NotHere;
        };
        // The others turn a removed member away, and it could hand over to nobody any more. With
        // another leader the asker comes back to that one; without, the change goes on here.
        if *change
            == (Change::Remove {
                id: self.members.own(),
            })
            && !self.members.is_only_voter()
        {
            self.transfer.resign().await;
        }
        loop {
            if self.leadership.leading_term().is_none() || Instant::now() >= until {
                return Handled::NotHere;
            }
            // Decided on members that everybody will agree on: what was appended last is applied.
            let Some(stored) = self.settled() else {
                sleep(RETRY_PAUSE).await;
                continue;
            };
            let step = match self.step(stored.membership(), change) {
                Ok(step) => step,
                Err(refusal) => return Handled::Refused(refusal),
            };
            let remaining = until.saturating_duration_since(Instant::now());
            match timeout(remaining, self.append(&stored, step)).await {
                Ok(Some(handled)) => return handled,
                Ok(None) => sleep(RETRY_PAUSE).await,
                Err(_) => return Handled::Unknown,
            }
        }
    }

    /// The membership in force, once it is committed and applied here.
    fn settled(&self) -> Option<Arc<StoredMembership>> {
        let server = self.raft.server_metrics();
        let server = server.borrow_watched();
        let stored = server.membership_config.clone();
        let committed = server.committed_membership_config == stored;
        let index = stored.log_id().map_or(0, |id| id.index);
        (committed && self.view.applied_index() >= index).then_some(stored)
    }

    fn step(&self, membership: &Membership, change: &Change) -> Result<Step, Refusal> {
        let members = roster(&self.view);
        let removed = |id| self.view.is_removed(id);
        // etcd looks at the log first, so a voter that never came is "not ready" and no "voter".
        if let Change::Promote { id } = change
            && members.iter().any(|member| member.id == *id)
        {
            let (matched, last) = self.progress(*id);
            rules::ready(matched, last)?;
        }
        rules::valid(&members, change, removed, self.policy.learners_max)?;
        let mut nodes: BTreeMap<u64, Peer> = membership
            .nodes()
            .map(|(id, node)| (*id, node.clone()))
            .collect();
        let mut voters: BTreeSet<u64> = membership.voter_ids().collect();
        match change {
            Change::Add {
                id,
                peer_urls,
                learner,
            } => {
                let node = Peer {
                    name: String::new(),
                    peer_urls: peer_urls.clone(),
                    joining: !learner,
                };
                nodes.insert(*id, node);
            }
            Change::Remove { id } => {
                nodes.remove(id);
                voters.remove(id);
            }
            Change::Promote { id } => {
                if self.policy.strict {
                    rules::promotable(&members)?;
                }
                voters.insert(*id);
            }
            Change::Update { id, peer_urls } => {
                let mut node = nodes.remove(id).ok_or(Refusal::NotFound)?;
                node.peer_urls.clone_from(peer_urls);
                return Ok(Step::Address(*id, node));
            }
        }
        // A cluster without a voter could never do anything again, not even take one in.
        if voters.is_empty() {
            return Err(Refusal::NotEnoughStarted);
        }
        Membership::new(vec![voters], nodes)
            .map(Step::Membership)
            .map_err(|_| Refusal::NotFound)
    }

    /// How far a member's log is known to reach, and the leader's own.
    pub fn progress(&self, id: u64) -> (u64, u64) {
        let data = self.raft.data_metrics();
        let data = data.borrow_watched();
        let last = data.last_log.map_or(0, |last| last.index);
        if id == self.members.own() {
            return (last, last);
        }
        let matched = data.replication.as_ref().and_then(|all| all.get(&id));
        let index = matched
            .and_then(|matched| matched.as_ref())
            .map_or(0, |m| m.index);
        (index, last)
    }

    /// `None` where raft was not ready and nothing has been appended.
    async fn append(&self, before: &StoredMembership, step: Step) -> Option<Handled> {
        let unchanged = [Precondition::LastMembershipLogId {
            last_membership_log_id: *before.log_id(),
        }];
        let written = match step {
            Step::Membership(next) => {
                let blank = EntryPayload::Blank;
                self.raft.append_membership(next, blank, unchanged).await
            }
            Step::Address(id, node) => {
                let nodes = ChangeMembers::SetNodes([(id, node)].into());
                self.raft.change_membership_if(nodes, true, unchanged).await
            }
        };
        let Err(error) = written else {
            return Some(Handled::Done);
        };
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => Some(Handled::NotHere),
            RaftError::APIError(
                ClientWriteError::PreconditionFailed(_)
                | ClientWriteError::ChangeMembershipError(
                    ChangeMembershipError::InProgress(_)
                    | ChangeMembershipError::UncommittedLeaderLog(_),
                ),
            ) => None,
            error => {
                tracing::warn!(%error, "a change of the members has an unknown end");
                Some(Handled::Unknown)
            }
        }
    }

    /// Makes a voter of a member that was added as one and has the log now. Nothing to report: if it
    /// fails it is tried again.
    pub async fn admit(&self, id: u64) {
        let Ok(_serial) = self.serial.try_lock() else {
            return;
        };
        let Some(stored) = self.settled() else {
            return;
        };
        let membership = stored.membership();
        let joining = membership.get_node(&id).is_some_and(|node| node.joining);
        let mut voters: BTreeSet<u64> = membership.voter_ids().collect();
        if !joining || !voters.insert(id) {
            return;
        }
        let nodes: BTreeMap<u64, Peer> = membership
            .nodes()
            .map(|(id, node)| (*id, node.clone()))
            .collect();
        let Ok(next) = Membership::new(vec![voters], nodes) else {
            return;
        };
        let appended = timeout(LEADER_TIMEOUT, self.append(&stored, Step::Membership(next))).await;
        if let Ok(Some(Handled::Done)) = appended {
            tracing::info!(member = format!("{id:x}"), "an added member votes now");
        }
    }
}

fn question(change: &Change) -> peer::ChangeRequest {
    use peer::change_request::Change as Out;
    let change = match change.clone() {
        Change::Add {
            id,
            peer_urls,
            learner,
        } => Out::Add(peer::AddMember {
            id,
            peer_urls,
            learner,
        }),
        Change::Remove { id } => Out::Remove(id),
        Change::Update { id, peer_urls } => Out::Update(peer::UpdateMember { id, peer_urls }),
        Change::Promote { id } => Out::Promote(id),
    };
    peer::ChangeRequest {
        change: Some(change),
    }
}

/// `None` for a change that this version does not know.
fn asked(question: peer::ChangeRequest) -> Option<Change> {
    use peer::change_request::Change as In;
    Some(match question.change? {
        In::Add(peer::AddMember {
            id,
            peer_urls,
            learner,
        }) => Change::Add {
            id,
            peer_urls,
            learner,
        },
        In::Remove(id) => Change::Remove { id },
        In::Update(peer::UpdateMember { id, peer_urls }) => Change::Update { id, peer_urls },
        In::Promote(id) => Change::Promote { id },
    })
}

fn kind(handled: Handled) -> peer::change_response::Kind {
    use peer::change_response::Kind;
    match handled {
        Handled::Done => Kind::Done,
        Handled::NotHere => Kind::NotLeader,
        Handled::Unknown => Kind::Unknown,
        Handled::Refused(refusal) => match refusal {
            Refusal::NotFound => Kind::NotFound,
            Refusal::IdExists => Kind::IdExists,
            Refusal::IdRemoved => Kind::IdRemoved,
            Refusal::UrlExists => Kind::UrlExists,
            Refusal::NotLearner => Kind::NotLearner,
            Refusal::NotReady => Kind::NotReady,
            Refusal::TooManyLearners => Kind::TooManyLearners,
            // A leader is never unhealthy: only who takes a request asks whom it can reach.
            Refusal::NotEnoughStarted | Refusal::Unhealthy => Kind::NotEnoughStarted,
        },
    }
}

fn handled(kind: peer::change_response::Kind) -> Handled {
    use peer::change_response::Kind;
    Handled::Refused(match kind {
        Kind::Done => return Handled::Done,
        Kind::NotLeader => return Handled::NotHere,
        Kind::Unknown => return Handled::Unknown,
        Kind::NotFound => Refusal::NotFound,
        Kind::IdExists => Refusal::IdExists,
        Kind::IdRemoved => Refusal::IdRemoved,
        Kind::UrlExists => Refusal::UrlExists,
        Kind::NotLearner => Refusal::NotLearner,
        Kind::NotReady => Refusal::NotReady,
        Kind::TooManyLearners => Refusal::TooManyLearners,
        Kind::NotEnoughStarted => Refusal::NotEnoughStarted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_and_every_answer_survives_the_round_trip() {
        let urls = vec!["http://a:1".to_owned()];
        for change in [
            Change::Add {
                id: 1,
                peer_urls: urls.clone(),
                learner: true,
            },
            Change::Remove { id: 2 },
            Change::Update {
                id: 3,
                peer_urls: urls,
            },
            Change::Promote { id: 4 },
        ] {
            assert_eq!(asked(question(&change)), Some(change));
        }
        assert_eq!(asked(peer::ChangeRequest::default()), None);
        for refusal in [
            Refusal::NotFound,
            Refusal::IdExists,
            Refusal::IdRemoved,
            Refusal::UrlExists,
            Refusal::NotLearner,
            Refusal::NotReady,
            Refusal::TooManyLearners,
            Refusal::NotEnoughStarted,
        ] {
            let there = Handled::Refused(refusal);
            assert_eq!(handled(kind(there)), there);
        }
        for there in [Handled::Done, Handled::NotHere, Handled::Unknown] {
            assert_eq!(handled(kind(there)), there);
        }
    }

    /// SHA-1 of `http://127.0.0.1:123801700000000`, its first eight bytes.
    #[test]
    fn ids_of_added_members_follow_from_urls_and_time() {
        let urls = ["http://127.0.0.1:12380".to_owned()];
        assert_eq!(added_id(&urls, 1_700_000_000), 0x6425_1b03_7fd2_d59e);
        assert_ne!(added_id(&urls, 1_700_000_001), 0x6425_1b03_7fd2_d59e);
    }
}
