//! What an entry of etcd's log asks for, as a command of ours.

use bytes::{Buf, Bytes};
use mainstay_proto::entry::LeaseRevoke;
use mainstay_proto::entry::command::Body;
use mainstay_proto::etcdserverpb as pb;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};

use crate::{Error, etcd_log::LogEntry};

/// Fields of etcd's union of requests.
mod field {
    pub const V2: u32 = 2;
    pub const RANGE: u32 = 3;
    pub const PUT: u32 = 4;
    pub const DELETE_RANGE: u32 = 5;
    pub const TXN: u32 = 6;
    pub const COMPACTION: u32 = 7;
    pub const LEASE_GRANT: u32 = 8;
    pub const LEASE_REVOKE: u32 = 9;
    pub const ALARM: u32 = 10;
    /// Time left of leases; a new leader gives all of it.
    pub const LEASE_CHECKPOINT: u32 = 11;
    pub const HEADER: u32 = 100;
    /// Reads of users and roles, and logins, which leave nothing.
    pub const AUTH_READS: [u32; 6] = [1012, 1013, 1102, 1106, 1107, 1202];
    /// What members tell of themselves and of the cluster's version; a new cluster decides anew.
    pub const CLUSTER: [u32; 4] = [1300, 1301, 1302, 9900];
}

impl LogEntry {
    /// The command to apply; none if it changes nothing that is taken over.
    ///
    /// Errors: `Unsupported` for what cannot be taken over, such as changes of users.
    pub fn command(&self) -> Result<Option<Body>, Error> {
        if self.kind != 0 {
            return Ok(None);
        }
        let index = self.index;
        let odd = |error| Error::damaged(format!("entry {index} of the log: {error}"));
        let Some((field, bytes)) = request(self.data.clone()).map_err(odd)? else {
            return Ok(None);
        };
        let body = match field {
            field::PUT => Body::Put(pb::PutRequest::decode(bytes).map_err(odd)?),
            field::DELETE_RANGE => {
                Body::DeleteRange(pb::DeleteRangeRequest::decode(bytes).map_err(odd)?)
            }
            field::TXN => Body::Txn(pb::TxnRequest::decode(bytes).map_err(odd)?),
            field::COMPACTION => Body::Compact(pb::CompactionRequest::decode(bytes).map_err(odd)?),
            field::LEASE_GRANT => {
                Body::LeaseGrant(pb::LeaseGrantRequest::decode(bytes).map_err(odd)?)
            }
            field::LEASE_REVOKE => Body::LeaseRevoke(LeaseRevoke {
                id: pb::LeaseRevokeRequest::decode(bytes).map_err(odd)?.id,
                expired_in_term: 0,
            }),
            field::ALARM => Body::Alarm(pb::AlarmRequest::decode(bytes).map_err(odd)?),
            field::RANGE | field::LEASE_CHECKPOINT => return Ok(None),
            read if field::AUTH_READS.contains(&read) => return Ok(None),
            cluster if field::CLUSTER.contains(&cluster) => return Ok(None),
            other => {
                return Err(Error::Unsupported(format!(
                    "entry {index} of its log asks for {other}, which is not there yet"
                )));
            }
        };
        Ok(Some(body))
    }
}

/// Field and bytes of the request in an entry. Servers up to 3.5 wrote what members told of
/// themselves as a request of the API before this one; those are told by their second field.
fn request(mut data: Bytes) -> Result<Option<(u32, Bytes)>, prost::DecodeError> {
    let mut found = None;
    let context = DecodeContext::default();
    while data.has_remaining() {
        let (tag, wire) = decode_key(&mut data)?;
        if tag == field::V2 {
            return Ok(None);
        }
        if wire != WireType::LengthDelimited || tag == field::HEADER {
            skip_field(wire, tag, &mut data, context.clone())?;
            continue;
        }
        let mut request = Bytes::new();
        prost::encoding::bytes::merge(wire, &mut request, &mut data, context.clone())?;
        found = Some((tag, request));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(data: &[u8]) -> LogEntry {
        LogEntry {
            index: 7,
            data: Bytes::copy_from_slice(data),
            ..LogEntry::default()
        }
    }

    #[test]
    fn requests_become_commands() {
        // Header {id 9}, id 9, put {key k}.
        let put = b"\xa2\x06\x02\x08\x09\x08\x09\x22\x03\x0a\x01k";
        let Some(Body::Put(request)) = entry(put).command().unwrap() else {
            panic!("no put");
        };
        assert_eq!(request.key, "k");
        assert_eq!(entry(b"").command().unwrap(), None);
        // PUT of a path, from before there were keys.
        assert_eq!(
            entry(b"\x08\x09\x12\x03PUT\x22\x01x").command().unwrap(),
            None
        );
        assert_eq!(entry(b"\x08\x09\xaa\x51\x00").command().unwrap(), None);
        let add_user = entry(b"\xe2\x44\x00").command();
        assert!(
            matches!(add_user, Err(Error::Unsupported(_))),
            "{add_user:?}"
        );
        assert!(entry(b"\x22\x09\x0a").command().is_err());
    }
}
