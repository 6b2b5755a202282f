//! openraft's types to and from our own messages, for the wire and for the disk. openraft's serde
//! support is left off: it would fix a format that is not ours.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mainstay_proto::peer;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use prost::Message;

use crate::types::{
    AppendRequest, AppendResponse, Command, Entry, LogId, Membership, Peer, StoredMembership, Vote,
    term_of,
};

/// Entry kinds, the same on the wire and in the log.
pub const KIND_BLANK: u8 = 0;
pub const KIND_COMMAND: u8 = 1;
pub const KIND_MEMBERSHIP: u8 = 2;

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("message does not decode: {0}")]
    Prost(#[from] prost::DecodeError),
    #[error("message lacks its {0}")]
    Missing(&'static str),
    #[error("entry kind {0} is not known to this version")]
    Kind(u32),
    #[error("membership is not valid: {0}")]
    Membership(String),
    #[error("entries are not those that follow one another under one leader")]
    Order,
    #[error("term {0} is beyond any that elections reach")]
    Term(u64),
}

/// The next term must always be a number: an election a microsecond gets here in 146,000 years.
const TERM_MAX: u64 = 1 << 62;

pub fn log_id_out(id: &LogId) -> peer::LogId {
    peer::LogId {
        term: term_of(id),
        index: id.index,
    }
}

pub fn log_id_in(id: peer::LogId) -> LogId {
    LogId::new_term_index(id.term, id.index)
}

pub fn vote_out(vote: &Vote) -> peer::Vote {
    peer::Vote {
        term: vote.leader_id.term,
        node: vote.leader_id.voted_for,
        committed: vote.committed,
    }
}

pub fn vote_in(vote: Option<peer::Vote>) -> Result<Vote, DecodeError> {
    let vote = vote.ok_or(DecodeError::Missing("vote"))?;
    if vote.term > TERM_MAX {
        return Err(DecodeError::Term(vote.term));
    }
    Ok(if vote.committed {
        Vote::new_committed(vote.term, vote.node)
    } else {
        Vote::new(vote.term, vote.node)
    })
}

pub fn membership_out(membership: &Membership) -> peer::Membership {
    peer::Membership {
        configs: membership
            .get_joint_config()
            .iter()
            .map(|voters| peer::Voters {
                ids: voters.iter().copied().collect(),
            })
            .collect(),
        nodes: membership
            .nodes()
            .map(|(id, node)| peer::Node {
                id: *id,
                name: node.name.clone(),
                peer_urls: node.peer_urls.clone(),
                joining: node.joining,
            })
            .collect(),
    }
}

pub fn membership_in(membership: peer::Membership) -> Result<Membership, DecodeError> {
    let configs: Vec<BTreeSet<u64>> = membership
        .configs
        .into_iter()
        .map(|voters| voters.ids.into_iter().collect())
        .collect();
    let nodes: BTreeMap<u64, Peer> = membership
        .nodes
        .into_iter()
        .map(|node| {
            let peer = Peer {
                name: node.name,
                peer_urls: node.peer_urls,
                joining: node.joining,
            };
            (node.id, peer)
        })
        .collect();
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|error| DecodeError::Membership(error.to_string()))
}

pub fn stored_membership_out(stored: &StoredMembership) -> peer::StoredMembership {
    peer::StoredMembership {
        log_id: stored.log_id().as_ref().map(log_id_out),
        membership: Some(membership_out(stored.membership())),
    }
}

pub fn stored_membership_in(
    stored: peer::StoredMembership,
) -> Result<StoredMembership, DecodeError> {
    let membership = membership_in(stored.membership.unwrap_or_default())?;
    Ok(StoredMembership::new(
        stored.log_id.map(log_id_in),
        membership,
    ))
}

/// Kind and bytes of an entry; the bytes of a command are shared, not copied.
pub fn payload_out(payload: &EntryPayload<Command, u64, Peer>) -> (u8, Bytes) {
    match payload {
        EntryPayload::Blank => (KIND_BLANK, Bytes::new()),
        EntryPayload::Normal(command) => (KIND_COMMAND, command.0.clone()),
        EntryPayload::Membership(membership) => (
            KIND_MEMBERSHIP,
            membership_out(membership).encode_to_vec().into(),
        ),
    }
}

pub fn entry_in(id: LogId, kind: u32, bytes: Bytes) -> Result<Entry, DecodeError> {
    let payload = match u8::try_from(kind) {
        Ok(KIND_BLANK) => EntryPayload::Blank,
        Ok(KIND_COMMAND) => EntryPayload::Normal(Command(bytes)),
        Ok(KIND_MEMBERSHIP) => {
            EntryPayload::Membership(membership_in(peer::Membership::decode(bytes)?)?)
        }
        _ => return Err(DecodeError::Kind(kind)),
    };
    Ok(Entry::new(id, payload))
}

pub fn append_out(request: &AppendRequest) -> peer::AppendRequest {
    peer::AppendRequest {
        vote: Some(vote_out(&request.vote)),
        prev: request.prev_log_id.as_ref().map(log_id_out),
        commit: request.leader_commit.as_ref().map(log_id_out),
        entries: request
            .entries
            .iter()
            .map(|entry| {
                let (kind, payload) = payload_out(&entry.payload);
                peer::Entry {
                    log_id: Some(log_id_out(&entry.log_id)),
                    kind: u32::from(kind),
                    payload,
                }
            })
            .collect(),
    }
}

/// Refuses what no leader sends, before raft sees it: raft takes its callers' word for such things
/// and would stop this member.
pub fn append_in(request: peer::AppendRequest) -> Result<AppendRequest, DecodeError> {
    let vote = vote_in(request.vote)?;
    let prev = request.prev.map(log_id_in);
    let mut last = prev;
    let mut entries = Vec::with_capacity(request.entries.len());
    for entry in request.entries {
        let id = log_id_in(entry.log_id.ok_or(DecodeError::Missing("log id"))?);
        let index = last.map_or(Some(0), |last| last.index.checked_add(1));
        let terms = last.map_or(0, |last| term_of(&last))..=vote.leader_id.term;
        if Some(id.index) != index || !terms.contains(&term_of(&id)) {
            return Err(DecodeError::Order);
        }
        last = Some(id);
        entries.push(entry_in(id, entry.kind, entry.payload)?);
    }
    Ok(AppendRequest {
        vote,
        prev_log_id: prev,
        entries,
        leader_commit: request.commit.map(log_id_in),
    })
}

pub fn append_response_out(response: &AppendResponse) -> peer::AppendResponse {
    use peer::append_response::Kind;
    let mut out = peer::AppendResponse::default();
    match response {
        AppendResponse::Success => out.set_kind(Kind::Success),
        AppendResponse::PartialSuccess(matched) => {
            out.set_kind(Kind::Partial);
            out.matched = matched.as_ref().map(log_id_out);
        }
        AppendResponse::Conflict => out.set_kind(Kind::Conflict),
        AppendResponse::HigherVote(vote) => {
            out.set_kind(Kind::HigherVote);
            out.vote = Some(vote_out(vote));
        }
    }
    out
}

/// `Err` carries the reason with which the other side failed.
pub fn append_response_in(
    response: peer::AppendResponse,
) -> Result<Result<AppendResponse, String>, DecodeError> {
    use peer::append_response::Kind;
    Ok(match response.kind() {
        Kind::Success => Ok(AppendResponse::Success),
        Kind::Partial => Ok(AppendResponse::PartialSuccess(
            response.matched.map(log_id_in),
        )),
        Kind::Conflict => Ok(AppendResponse::Conflict),
        Kind::HigherVote => Ok(AppendResponse::HigherVote(vote_in(response.vote)?)),
        Kind::Failed => Err(response.reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership() -> Membership {
        let peer = |name: &str| Peer {
            name: name.into(),
            peer_urls: vec![format!("http://{name}:2380")],
            joining: name == "d",
        };
        Membership::new(
            vec![BTreeSet::from([1, 2]), BTreeSet::from([2, 3])],
            BTreeMap::from([
                (1, peer("a")),
                (2, peer("b")),
                (3, peer("c")),
                (4, peer("d")),
            ]),
        )
        .unwrap()
    }

    #[test]
    fn a_joint_membership_with_a_learner_survives_the_round_trip() {
        let stored = StoredMembership::new(Some(LogId::new_term_index(3, 9)), membership());
        let back = stored_membership_in(stored_membership_out(&stored)).unwrap();
        assert_eq!(back, stored);
    }

    #[test]
    fn an_append_survives_the_round_trip() {
        let request = AppendRequest {
            vote: Vote::new_committed(7, 2),
            prev_log_id: Some(LogId::new_term_index(6, 10)),
            entries: vec![
                Entry::new(LogId::new_term_index(7, 11), EntryPayload::Blank),
                Entry::new(
                    LogId::new_term_index(7, 12),
                    EntryPayload::Normal(Command(Bytes::from_static(b"x"))),
                ),
                Entry::new(
                    LogId::new_term_index(7, 13),
                    EntryPayload::Membership(membership()),
                ),
            ],
            leader_commit: None,
        };
        let bytes = append_out(&request).encode_to_vec();
        let back = append_in(peer::AppendRequest::decode(bytes.as_slice()).unwrap()).unwrap();
        assert_eq!(back.vote, request.vote);
        assert_eq!(back.prev_log_id, request.prev_log_id);
        assert_eq!(back.entries, request.entries);
    }

    #[test]
    fn what_no_leader_sends_is_refused() {
        let entry = |term, index| peer::Entry {
            log_id: Some(peer::LogId { term, index }),
            kind: u32::from(KIND_BLANK),
            payload: Bytes::new(),
        };
        let append = |entries| {
            append_in(peer::AppendRequest {
                vote: Some(vote_out(&Vote::new_committed(7, 2))),
                prev: Some(peer::LogId { term: 5, index: 10 }),
                commit: None,
                entries,
            })
        };
        assert!(append(vec![entry(5, 11), entry(7, 12)]).is_ok());
        for wrong in [
            vec![entry(7, 12)],
            vec![entry(7, 11), entry(7, 13)],
            vec![entry(7, 11), entry(6, 12)],
            vec![entry(4, 11)],
            vec![entry(8, 11)],
        ] {
            assert!(matches!(append(wrong), Err(DecodeError::Order)));
        }
        let vote = peer::Vote {
            term: u64::MAX,
            ..Default::default()
        };
        assert!(matches!(vote_in(Some(vote)), Err(DecodeError::Term(_))));
    }

    #[test]
    fn an_unknown_entry_kind_is_refused() {
        let error = entry_in(LogId::new_term_index(1, 1), 9, Bytes::new()).unwrap_err();
        assert!(matches!(error, DecodeError::Kind(9)));
    }
}
