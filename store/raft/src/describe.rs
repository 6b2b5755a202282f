//! What the log's records mean, in words, for who looks at a stopped member. Keys are shown, values
//! and passwords are not.

use bytes::Bytes;
use mainstay_proto::entry::{self, command::Body};
use mainstay_proto::peer;
use prost::Message;

use crate::codec::{KIND_BLANK, KIND_COMMAND, KIND_MEMBERSHIP};

/// Bytes of a key that are shown.
const KEY_BYTES_MAX: usize = 128;

pub fn entry(kind: u8, payload: Bytes) -> String {
    match kind {
        KIND_BLANK => "blank, a leader's first".to_owned(),
        KIND_COMMAND => match entry::Command::decode(payload) {
            Ok(command) => self::command(&command),
            Err(error) => format!("a command that does not decode: {error}"),
        },
        KIND_MEMBERSHIP => membership(payload),
        other => format!("of kind {other}, which this version does not know"),
    }
}

/// Whether entries of this kind say who the members are.
pub fn is_membership(kind: u8) -> bool {
    kind == KIND_MEMBERSHIP
}

pub fn vote(payload: Bytes) -> String {
    match peer::Vote::decode(payload) {
        Ok(vote) => {
            let how = if vote.committed {
                "leader"
            } else {
                "candidate"
            };
            format!("vote in term {} for {:x} as {how}", vote.term, vote.node)
        }
        Err(error) => format!("a vote that does not decode: {error}"),
    }
}

pub fn committed(payload: Bytes) -> String {
    match peer::LogId::decode(payload) {
        Ok(id) => format!("committed up to {} of term {}", id.index, id.term),
        Err(error) => format!("a committed hint that does not decode: {error}"),
    }
}

pub fn membership(payload: Bytes) -> String {
    let membership = match peer::Membership::decode(payload) {
        Ok(membership) => membership,
        Err(error) => return format!("a membership that does not decode: {error}"),
    };
    let voters = membership.configs.iter().map(|voters| {
        let ids: Vec<String> = voters.ids.iter().map(|id| format!("{id:x}")).collect();
        format!("[{}]", ids.join(" "))
    });
    let nodes = membership.nodes.iter().map(|node| {
        let (name, urls) = (&node.name, node.peer_urls.join(","));
        format!("{:x} {name} {urls}", node.id)
    });
    let (voters, nodes): (Vec<_>, Vec<_>) = (voters.collect(), nodes.collect());
    format!(
        "membership, voters {}: {}",
        voters.join(" and "),
        nodes.join("; ")
    )
}

fn command(command: &entry::Command) -> String {
    let Some(body) = &command.body else {
        return "a command without a body".to_owned();
    };
    let what = match body {
        Body::Put(put) => format!("put {} ({} bytes)", key(&put.key), put.value.len()),
        Body::DeleteRange(delete) => {
            format!("delete {} to {}", key(&delete.key), key(&delete.range_end))
        }
        Body::Txn(txn) => {
            let (success, failure) = (txn.success.len(), txn.failure.len());
            format!(
                "txn of {} compares, {success} and {failure} operations",
                txn.compare.len()
            )
        }
        Body::Compact(compact) => format!("compact to revision {}", compact.revision),
        Body::LeaseGrant(grant) => format!("grant lease {:x} of {} s", grant.id, grant.ttl),
        Body::LeaseRevoke(revoke) => format!("revoke lease {:x}", revoke.id),
        Body::Publish(publish) => {
            let urls = publish.client_urls.join(",");
            format!("member {:x} is {} at {urls}", publish.member, publish.name)
        }
        Body::ClusterVersion(version) => format!("cluster version {}", version.version),
        other => name(other),
    };
    format!("{what}, proposed by {:x}", command.proposer)
}

/// The kind of a command, and nothing of what is in it.
fn name(body: &Body) -> String {
    let debug = format!("{body:?}");
    let end = debug.find(['(', ' ', '{']).unwrap_or(debug.len());
    debug.get(..end).unwrap_or_default().to_lowercase()
}

/// A key with what cannot be printed escaped.
pub fn key(key: &[u8]) -> String {
    let shown = key.get(..KEY_BYTES_MAX).unwrap_or(key);
    let more = if shown.len() < key.len() { "…" } else { "" };
    format!("\"{}{more}\"", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use mainstay_proto::etcdserverpb::{AlarmRequest, PutRequest};

    use super::*;

    fn told(body: Body) -> String {
        let command = entry::Command {
            format: 1,
            proposer: 0xab,
            request: 7,
            body: Some(body),
            ..Default::default()
        };
        entry(KIND_COMMAND, command.encode_to_vec().into())
    }

    #[test]
    fn keys_are_shown_and_values_are_not() {
        let put = PutRequest {
            key: "a\0".into(),
            value: "secret".into(),
            ..Default::default()
        };
        assert_eq!(
            told(Body::Put(put)),
            "put \"a\\x00\" (6 bytes), proposed by ab"
        );
        assert_eq!(
            told(Body::Alarm(AlarmRequest::default())),
            "alarm, proposed by ab"
        );
        assert!(key(&[b'k'; 200]).len() < 140);
    }

    #[test]
    fn what_does_not_decode_is_told() {
        let odd = Bytes::from_static(&[0xff; 3]);
        for text in [
            entry(KIND_COMMAND, odd.clone()),
            entry(KIND_MEMBERSHIP, odd.clone()),
            vote(odd.clone()),
            committed(odd.clone()),
        ] {
            assert!(text.contains("does not decode"), "{text}");
        }
        assert!(entry(9, odd).contains("kind 9"));
        assert!(entry(KIND_BLANK, Bytes::new()).starts_with("blank"));
    }
}
