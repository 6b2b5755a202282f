//! Where a store stands in the log and who its members are, out of what apply keeps of it.

use mainstay_apply::{AppliedState, rows};
use mainstay_mvcc::Frozen;
use mainstay_proto::peer;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::{Error, member::Member};

/// The raft part of a backup.
#[derive(Debug, Default)]
pub struct RaftState {
    pub index: u64,
    pub term: u64,
    /// None before the first membership has been applied.
    pub voters: Option<ConfState>,
    pub members: Vec<Member>,
}

/// The row `confState`, as etcd marshals it.
#[derive(Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct ConfState {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub voters: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub learners: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub voters_outgoing: Vec<u64>,
    pub auto_leave: bool,
}

impl RaftState {
    pub fn read(store: &Frozen<'_>) -> Result<RaftState, Error> {
        let applied = AppliedState::decode(store.applied()?.as_deref())?;
        let mut state = RaftState {
            index: applied.index(),
            term: applied.term(),
            ..RaftState::default()
        };
        if let Some((_, bytes)) = applied.membership {
            let membership = peer::Membership::decode(bytes)
                .map_err(|error| Error::damaged(format!("its membership: {error}")))?;
            let voters = ConfState::of(&membership);
            state.members = members(store, &voters, membership.nodes)?;
            state.voters = Some(voters);
        }
        Ok(state)
    }
}

impl ConfState {
    /// Of a joint configuration the last list is the one that comes.
    fn of(membership: &peer::Membership) -> ConfState {
        let mut lists = membership.configs.iter().rev();
        let voters = lists.next().map(|list| list.ids.clone());
        let outgoing = lists.next().map(|list| list.ids.clone());
        let (voters, voters_outgoing) = (voters.unwrap_or_default(), outgoing.unwrap_or_default());
        let votes = |id: &u64| voters.contains(id) || voters_outgoing.contains(id);
        let ids = membership.nodes.iter().map(|node| node.id);
        let learners = ids.filter(|id| !votes(id)).collect();
        ConfState {
            voters,
            learners,
            voters_outgoing,
            auto_leave: false,
        }
    }
}

/// The members with what each has published of itself.
fn members(
    store: &Frozen<'_>,
    voters: &ConfState,
    nodes: Vec<peer::Node>,
) -> Result<Vec<Member>, Error> {
    let mut published = std::collections::HashMap::new();
    for (key, value) in store.meta_scan(rows::MEMBERS)? {
        let member = rows::member_of(&key, value)?;
        published.insert(member.member, member);
    }
    let member = |node: peer::Node| {
        let told = published.remove(&node.id);
        let (name, client_urls) = match told {
            Some(told) => (told.name, told.client_urls),
            None => (node.name, Vec::new()),
        };
        Member {
            id: node.id,
            peer_urls: node.peer_urls,
            is_learner: voters.learners.contains(&node.id),
            name,
            client_urls,
        }
    };
    Ok(nodes.into_iter().map(member).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership(configs: &[&[u64]], nodes: &[u64]) -> peer::Membership {
        peer::Membership {
            configs: configs
                .iter()
                .map(|ids| peer::Voters { ids: ids.to_vec() })
                .collect(),
            nodes: nodes
                .iter()
                .map(|id| peer::Node {
                    id: *id,
                    ..Default::default()
                })
                .collect(),
        }
    }

    #[test]
    fn conf_state_is_etcds() {
        let plain = ConfState::of(&membership(&[&[9]], &[9]));
        let json = serde_json::to_string(&plain).unwrap();
        assert_eq!(json, r#"{"voters":[9],"auto_leave":false}"#);
        let joint = ConfState::of(&membership(&[&[1, 2], &[2, 3]], &[1, 2, 3, 4]));
        assert_eq!(joint.voters, [2, 3]);
        assert_eq!(joint.voters_outgoing, [1, 2]);
        assert_eq!(joint.learners, [4]);
    }
}
