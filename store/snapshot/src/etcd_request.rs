//! What an entry of etcd's log asks for, as a command of ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use mainstay_auth::Caller;
use mainstay_proto::entry::command::Body;
use mainstay_proto::entry::{AuthDisable, AuthEnable, LeaseRevoke, UserAdd, UserChangePassword};
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
    pub const AUTH_ENABLE: u32 = 1000;
    pub const AUTH_DISABLE: u32 = 1011;
    pub const USER_ADD: u32 = 1100;
    pub const USER_DELETE: u32 = 1101;
    pub const USER_CHANGE_PASSWORD: u32 = 1103;
    pub const USER_GRANT_ROLE: u32 = 1104;
    pub const USER_REVOKE_ROLE: u32 = 1105;
    pub const ROLE_ADD: u32 = 1200;
    pub const ROLE_DELETE: u32 = 1201;
    pub const ROLE_GRANT_PERMISSION: u32 = 1203;
    pub const ROLE_REVOKE_PERMISSION: u32 = 1204;
    /// Reads of users and roles, and logins, which leave nothing.
    pub const AUTH_READS: [u32; 6] = [1012, 1013, 1102, 1106, 1107, 1202];
    /// What members tell of themselves and of the cluster's version; a new cluster decides anew.
    pub const CLUSTER: [u32; 4] = [1300, 1301, 1302, 9900];
}

/// The header of a request: who asked, as the member that took it had verified.
#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(string, tag = "2")]
    user: String,
    #[prost(uint64, tag = "3")]
    auth_revision: u64,
}

impl LogEntry {
    /// The command to apply and who asked for it; none if it changes nothing that is taken over.
    ///
    /// Errors: `Unsupported` for what cannot be taken over, such as a password in clear.
    pub fn command(&self) -> Result<Option<(Caller, Body)>, Error> {
        if self.kind != 0 {
            return Ok(None);
        }
        let index = self.index;
        let odd = |error| Error::damaged(format!("entry {index} of the log: {error}"));
        let Some(found) = request(self.data.clone()).map_err(odd)? else {
            return Ok(None);
        };
        let Found {
            header,
            field,
            bytes,
        } = found;
        if let Some(body) = self.auth(field, &bytes)? {
            return Ok(Some((caller(header), body)));
        }
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
        let caller = match body {
            // At apply etcd asks for no right to these; those that had none were not proposed.
            Body::Compact(_) | Body::LeaseGrant(_) | Body::Alarm(_) => Caller::Member,
            _ => caller(header),
        };
        Ok(Some((caller, body)))
    }

    /// A change of users or roles.
    fn auth(&self, field: u32, bytes: &Bytes) -> Result<Option<Body>, Error> {
        let index = self.index;
        let odd = |error| Error::damaged(format!("entry {index} of the log: {error}"));
        let bytes = bytes.clone();
        Ok(Some(match field {
            field::AUTH_ENABLE => Body::AuthEnable(AuthEnable {}),
            field::AUTH_DISABLE => Body::AuthDisable(AuthDisable {}),
            field::USER_ADD => {
                let request = pb::AuthUserAddRequest::decode(bytes).map_err(odd)?;
                Body::UserAdd(UserAdd {
                    password_hash: self
                        .password_hash(&request.password, &request.hashed_password)?,
                    name: request.name,
                    options: request.options,
                })
            }
            field::USER_CHANGE_PASSWORD => {
                let request = pb::AuthUserChangePasswordRequest::decode(bytes).map_err(odd)?;
                Body::UserChangePassword(UserChangePassword {
                    password_hash: self
                        .password_hash(&request.password, &request.hashed_password)?,
                    name: request.name,
                })
            }
            field::USER_DELETE => Body::UserDelete(Message::decode(bytes).map_err(odd)?),
            field::USER_GRANT_ROLE => Body::UserGrantRole(Message::decode(bytes).map_err(odd)?),
            field::USER_REVOKE_ROLE => Body::UserRevokeRole(Message::decode(bytes).map_err(odd)?),
            field::ROLE_ADD => Body::RoleAdd(Message::decode(bytes).map_err(odd)?),
            field::ROLE_DELETE => Body::RoleDelete(Message::decode(bytes).map_err(odd)?),
            field::ROLE_GRANT_PERMISSION => {
                Body::RoleGrantPermission(Message::decode(bytes).map_err(odd)?)
            }
            field::ROLE_REVOKE_PERMISSION => {
                Body::RoleRevokePermission(Message::decode(bytes).map_err(odd)?)
            }
            _ => return Ok(None),
        }))
    }

    /// Members before 3.5 hashed at apply, each with a salt of its own, so what etcd made of such
    /// an entry is not known here.
    fn password_hash(&self, clear: &str, hashed: &str) -> Result<Bytes, Error> {
        let index = self.index;
        if !clear.is_empty() && hashed.is_empty() {
            return Err(Error::Unsupported(format!(
                "entry {index} of its log holds a password in clear, as etcd before 3.5 wrote it"
            )));
        }
        let decoded = STANDARD.decode(hashed).map_err(|error| {
            Error::damaged(format!("entry {index} of the log: password hash: {error}"))
        })?;
        Ok(decoded.into())
    }
}

fn caller(header: Header) -> Caller {
    match header.auth_revision {
        0 => Caller::Nobody,
        revision => Caller::User {
            name: header.user,
            revision,
        },
    }
}

/// What an entry holds.
struct Found {
    header: Header,
    field: u32,
    bytes: Bytes,
}

/// Field and bytes of the request in an entry. Servers up to 3.5 wrote what members told of
/// themselves as a request of the API before this one; those are told by their second field.
fn request(mut data: Bytes) -> Result<Option<Found>, prost::DecodeError> {
    let mut header = Header::default();
    let mut found = None;
    let context = DecodeContext::default();
    while data.has_remaining() {
        let (tag, wire) = decode_key(&mut data)?;
        if tag == field::V2 {
            return Ok(None);
        }
        if wire != WireType::LengthDelimited {
            skip_field(wire, tag, &mut data, context.clone())?;
            continue;
        }
        let mut request = Bytes::new();
        prost::encoding::bytes::merge(wire, &mut request, &mut data, context.clone())?;
        match tag {
            field::HEADER => header = Header::decode(request)?,
            tag => found = Some((tag, request)),
        }
    }
    Ok(found.map(|(field, bytes)| Found {
        header,
        field,
        bytes,
    }))
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
        let Some((Caller::Nobody, Body::Put(request))) = entry(put).command().unwrap() else {
            panic!("no put of nobody");
        };
        assert_eq!(request.key, "k");
        assert_eq!(entry(b"").command().unwrap(), None);
        // PUT of a path, from before there were keys.
        assert_eq!(
            entry(b"\x08\x09\x12\x03PUT\x22\x01x").command().unwrap(),
            None
        );
        assert_eq!(entry(b"\x08\x09\xaa\x51\x00").command().unwrap(), None);
        assert!(matches!(
            entry(b"\x92\x4e\x00").command(),
            Err(Error::Unsupported(_))
        ));
        assert!(entry(b"\x22\x09\x0a").command().is_err());
    }

    #[test]
    fn a_change_of_users_is_somebodys_and_holds_no_clear_password() {
        let header = pb_header("root", 4);
        let add = |password: &str, hashed: &str| {
            let request = pb::AuthUserAddRequest {
                name: "u".into(),
                password: password.into(),
                hashed_password: hashed.into(),
                ..Default::default()
            };
            let mut data = header.clone();
            prost::encoding::message::encode(field::USER_ADD, &request, &mut data);
            entry(&data).command()
        };
        let Ok(Some((caller, Body::UserAdd(added)))) = add("", "aGFzaA==") else {
            panic!("no user is added");
        };
        assert_eq!(caller.name(), Some("root"));
        assert_eq!(
            (added.name.as_str(), &added.password_hash[..]),
            ("u", &b"hash"[..])
        );
        assert!(matches!(add("clear", ""), Err(Error::Unsupported(_))));
        assert!(add("", "no base64!").is_err());
    }

    fn pb_header(user: &str, auth_revision: u64) -> Vec<u8> {
        let header = Header {
            user: user.into(),
            auth_revision,
        };
        let mut data = Vec::new();
        prost::encoding::message::encode(field::HEADER, &header, &mut data);
        data
    }
}
