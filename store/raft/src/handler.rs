//! Answers to the other members' questions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_apply::View;
use mainstay_proto::peer;
use openraft::raft::{TransferLeaderRequest, VoteRequest};
use prost::Message;
use tokio::time::{Instant, timeout};

use crate::codec::{self, DecodeError};
use crate::corruption::Hasher;
use crate::leadership::Leadership;
use crate::lease::answers::Answers;
use crate::membership::change::Changer;
use crate::membership::roster;
use crate::peer::frame::Kind;
use crate::propose::Proposer;
use crate::read_index::ReadIndex;
use crate::types::{AppendRequest, AppendResponse, Raft, TypeConfig};

/// How long one who wants to join waits for the leader to be asked.
const LATEST_MAX: Duration = Duration::from_secs(2);

/// What a member knows before it takes part: answered to members that are about to form a cluster.
pub trait Formation: Send + Sync {
    fn probe(&self, asking: u64) -> peer::ProbeResponse;
}

pub struct Handler {
    pub raft: Raft,
    pub leadership: Arc<Leadership>,
    pub read_index: Arc<ReadIndex>,
    pub proposer: Arc<Proposer>,
    pub leases: Arc<Answers>,
    pub view: View,
    pub formation: Arc<dyn Formation>,
    pub hasher: Arc<Hasher>,
    pub changer: Arc<Changer>,
    /// Until this member knows that it may take part it gives no vote and takes no entry.
    pub admitted: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    #[error("question does not decode: {0}")]
    Decode(#[from] DecodeError),
    #[error("question does not decode: {0}")]
    Prost(#[from] prost::DecodeError),
    #[error("{0:?} is not a question for this connection")]
    Kind(Kind),
    #[error("raft has stopped: {0}")]
    Raft(String),
    #[error("this member has not been admitted yet")]
    NotAdmitted,
}

/// An encoded answer.
type Answer = Result<Vec<u8>, HandleError>;

impl Handler {
    pub fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Acquire)
    }

    pub async fn answer(&self, kind: Kind, payload: bytes::Bytes) -> Answer {
        if kind == Kind::Probe {
            let question = peer::ProbeRequest::decode(payload)?;
            return Ok(self.formation.probe(question.member).encode_to_vec());
        }
        if !self.is_admitted() {
            return Err(HandleError::NotAdmitted);
        }
        match kind {
            Kind::Append => self.append(payload).await,
            Kind::Vote => self.vote(payload, false).await,
            Kind::PreVote => self.vote(payload, true).await,
            Kind::Transfer => self.transfer(payload).await,
            Kind::ReadIndex => {
                let index = self.read_index.index_as_leader().await;
                let answer = peer::ReadIndexResponse {
                    index: index.unwrap_or(0),
                    confirmed: index.is_some(),
                };
                Ok(answer.encode_to_vec())
            }
            Kind::Forward => {
                let question = peer::ForwardRequest::decode(payload)?;
                let term = self.proposer.accept_forward(question.commands).await;
                let answer = peer::ForwardResponse {
                    accepted: term.is_some(),
                    term: term.unwrap_or(0),
                };
                Ok(answer.encode_to_vec())
            }
            Kind::LeaseRenew => {
                let question = peer::LeaseRenewRequest::decode(payload)?;
                Ok(self.leases.renew(question.id).await.encode_to_vec())
            }
            Kind::LeaseTtl => {
                let question = peer::LeaseTtlRequest::decode(payload)?;
                Ok(self.leases.ttl(question.id).await.encode_to_vec())
            }
            Kind::LeaseList => Ok(self.leases.list().await.encode_to_vec()),
            Kind::Hash => {
                let question = peer::HashRequest::decode(payload)?;
                Ok(self.hasher.answer(question).await.encode_to_vec())
            }
            Kind::Change => {
                let question = peer::ChangeRequest::decode(payload)?;
                Ok(self.changer.answer(question).await.encode_to_vec())
            }
            other => Err(HandleError::Kind(other)),
        }
    }

    /// The members, for one who wants to join: a member added a moment ago must be among them even
    /// if this one has not heard of it yet.
    pub async fn members(&self, cluster: u64) -> peer::MembersResponse {
        let latest = async {
            let index = self.read_index.index(Instant::now() + LATEST_MAX).await;
            if let Ok(index) = index {
                self.view.wait_applied(index).await;
            }
        };
        // Without a leader what is known here is the best there is.
        let _ = timeout(LATEST_MAX, latest).await;
        let members = roster(&self.view)
            .into_iter()
            .map(|member| peer::MemberRow {
                id: member.id,
                name: member.name,
                peer_urls: member.peer_urls,
                learner: member.learner,
                votes: member.votes,
            });
        peer::MembersResponse {
            cluster,
            members: members.collect(),
        }
    }

    /// Decodes an append and notes that the leader is alive once raft has accepted it.
    pub fn decode_append(&self, payload: bytes::Bytes) -> Result<AppendRequest, HandleError> {
        Ok(codec::append_in(peer::AppendRequest::decode(payload)?)?)
    }

    async fn append(&self, payload: bytes::Bytes) -> Answer {
        let request = self.decode_append(payload)?;
        let response = self.raft.append_entries(request).await;
        let answer = match response {
            Ok(response) => {
                if !matches!(response, AppendResponse::HigherVote(_)) {
                    self.leadership.heard();
                }
                codec::append_response_out(&response)
            }
            Err(error) => return Err(HandleError::Raft(error.to_string())),
        };
        Ok(answer.encode_to_vec())
    }

    async fn vote(&self, payload: bytes::Bytes, pre: bool) -> Answer {
        let question = peer::VoteRequest::decode(payload)?;
        let vote = codec::vote_in(question.vote)?;
        let mut request: VoteRequest<TypeConfig> =
            VoteRequest::new(vote, question.last.map(codec::log_id_in));
        request.leadership_transfer = question.transfer;
        let response = if pre {
            self.raft.pre_vote(request).await
        } else {
            self.raft.vote(request).await
        };
        let response = response.map_err(|error| HandleError::Raft(error.to_string()))?;
        let answer = peer::VoteResponse {
            vote: Some(codec::vote_out(&response.vote)),
            last: response.last_log_id.as_ref().map(codec::log_id_out),
            granted: response.vote_granted,
            reason: String::new(),
        };
        Ok(answer.encode_to_vec())
    }

    async fn transfer(&self, payload: bytes::Bytes) -> Answer {
        let question = peer::TransferRequest::decode(payload)?;
        let request = TransferLeaderRequest::new(
            codec::vote_in(question.from)?,
            question.to,
            question.last.map(codec::log_id_in),
        );
        let taken = self
            .raft
            .handle_transfer_leader(request)
            .await
            .map_err(|error| HandleError::Raft(error.to_string()))?;
        if let Err(error) = taken {
            tracing::info!(%error, "leadership was not taken over");
        }
        Ok(peer::Empty {}.encode_to_vec())
    }
}

/// What goes back when a question could not be answered: only appends and votes have a place for
/// a reason, the others end the connection.
pub fn failure(kind: Kind, error: &HandleError) -> Option<Vec<u8>> {
    match kind {
        Kind::Append => {
            let mut answer = peer::AppendResponse {
                reason: error.to_string(),
                ..Default::default()
            };
            answer.set_kind(peer::append_response::Kind::Failed);
            Some(answer.encode_to_vec())
        }
        Kind::Vote | Kind::PreVote => Some(
            peer::VoteResponse {
                reason: error.to_string(),
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        Kind::Change => {
            let mut answer = peer::ChangeResponse::default();
            answer.set_kind(peer::change_response::Kind::NotLeader);
            Some(answer.encode_to_vec())
        }
        Kind::ReadIndex
        | Kind::Forward
        | Kind::LeaseRenew
        | Kind::LeaseTtl
        | Kind::LeaseList
        | Kind::Hash => {
            // An empty message says "not confirmed", "not accepted", "not leading".
            matches!(error, HandleError::NotAdmitted).then(Vec::new)
        }
        _ => None,
    }
}
