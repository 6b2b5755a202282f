//! Fills the header every answer carries.

use mainstay_proto::etcdserverpb::ResponseHeader;
use mainstay_raft::Node;

/// A header of this member at `revision`.
pub fn at(node: &Node, revision: i64) -> ResponseHeader {
    ResponseHeader {
        cluster_id: node.cluster_id(),
        member_id: node.member_id(),
        revision,
        raft_term: node.term(),
    }
}

/// Completes the header that apply made: it knows the revision, this member knows the rest.
pub fn complete(node: &Node, made: Option<ResponseHeader>) -> Option<ResponseHeader> {
    Some(at(node, made.map_or(0, |header| header.revision)))
}
