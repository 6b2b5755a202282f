//! The types openraft is instantiated with. Nothing outside this crate names them.

use std::fmt;

use bytes::Bytes;
use openraft::impls::leader_id_std;
use openraft::type_config::alias::{LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};

use crate::machine::Machine;

/// An encoded `mainstay_proto::entry::Command`. It is encoded once, by the member that took the
/// request, and the same bytes go to the log, to the followers and to apply.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(pub Bytes);

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys and values are the user's: they have no place in a log line.
        write!(f, "command of {} bytes", self.0.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What the membership knows of a member. Its client URLs are published by an entry of their own.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Peer {
    pub name: String,
    pub peer_urls: Vec<String>,
    /// Added as a voter, and to be one as soon as it has the log. Of no meaning for a voter.
    pub joining: bool,
}

openraft::declare_raft_types!(
    /// One leader per term, as etcd's `raft_term` means it.
    pub TypeConfig:
        D = Command,
        R = (),
        NodeId = u64,
        Node = Peer,
        Term = u64,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = openraft_rt_tokio::TokioRuntime,
);

pub type Raft = openraft::Raft<TypeConfig, Machine>;
pub type LogId = LogIdOf<TypeConfig>;
pub type Vote = VoteOf<TypeConfig>;
pub type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub type Membership = openraft::Membership<u64, Peer>;
pub type StoredMembership = StoredMembershipOf<TypeConfig>;
pub type SnapshotMeta = SnapshotMetaOf<TypeConfig>;
pub type Snapshot =
    openraft::type_config::alias::SnapshotOf<TypeConfig, crate::snapshot::SnapshotData>;
pub type AppendRequest = openraft::raft::AppendEntriesRequest<TypeConfig>;
pub type AppendResponse = openraft::raft::AppendEntriesResponse<TypeConfig>;

pub fn term_of(id: &LogId) -> u64 {
    **id.committed_leader_id()
}
