//! The rows that apply keeps in the store beside keys and leases, for itself and for whoever copies
//! a store.

use bytes::{BufMut, Bytes, BytesMut};
use mainstay_proto::entry::Publish;
use prost::Message;

use crate::Error;

/// Rows of alarms: this prefix, then type and member, big endian. No value.
pub const ALARMS: &[u8] = b"alarm/";
/// Rows of members: this prefix, then the id, big endian; the value is the encoded [`Publish`].
pub const MEMBERS: &[u8] = b"member/";
/// Rows of members that were removed for good: this prefix, then the id, big endian. No value.
pub const REMOVED: &[u8] = b"removed/";
/// Row of the cluster version: its text.
pub const CLUSTER_VERSION: &[u8] = b"cluster_version";
/// Row of a downgrade job: the version to go down to, as text. Absent while there is none.
pub const DOWNGRADE: &[u8] = b"downgrade";

/// Key of an alarm's row.
pub fn alarm(kind: i32, member: u64) -> Bytes {
    let mut key = BytesMut::with_capacity(ALARMS.len() + 12);
    key.put_slice(ALARMS);
    key.put_i32(kind);
    key.put_u64(member);
    key.freeze()
}

/// Type and member of an alarm's row.
pub fn alarm_of(key: &[u8]) -> Result<(i32, u64), Error> {
    let read = || {
        let (kind, member) = key.strip_prefix(ALARMS)?.split_first_chunk::<4>()?;
        let member = <[u8; 8]>::try_from(member).ok()?;
        Some((i32::from_be_bytes(*kind), u64::from_be_bytes(member)))
    };
    read().ok_or_else(|| corrupt(format!("alarm record {key:02x?} cannot be read")))
}

/// Key and value of a member's row.
pub fn member(published: &Publish) -> (Bytes, Bytes) {
    let key = member_key(published.member);
    (key, published.encode_to_vec().into())
}

/// Key of the row of a member that has published itself.
pub fn member_key(id: u64) -> Bytes {
    keyed(MEMBERS, id)
}

/// Key of the row that says that a member was removed.
pub fn removed(id: u64) -> Bytes {
    keyed(REMOVED, id)
}

/// The member in the key of such a row.
pub fn removed_of(key: &[u8]) -> Result<u64, Error> {
    let id = key.strip_prefix(REMOVED);
    let id = id.and_then(|id| <[u8; 8]>::try_from(id).ok());
    let id = id.ok_or_else(|| corrupt(format!("removal record {key:02x?} cannot be read")))?;
    Ok(u64::from_be_bytes(id))
}

fn keyed(prefix: &[u8], id: u64) -> Bytes {
    let mut key = BytesMut::with_capacity(prefix.len() + 8);
    key.put_slice(prefix);
    key.put_u64(id);
    key.freeze()
}

/// What a member's row says; its key is only named in the error.
pub fn member_of(key: &[u8], value: Bytes) -> Result<Publish, Error> {
    Publish::decode(value).map_err(|error| corrupt(format!("member record {key:02x?}: {error}")))
}

/// The text of a row that holds a version.
pub fn version_of(value: &[u8]) -> Result<String, Error> {
    String::from_utf8(value.to_vec()).map_err(|_| corrupt("a version is no text".to_owned()))
}

fn corrupt(what: String) -> Error {
    Error::Store(mainstay_mvcc::Error::Corrupt { what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_reads_back_and_a_cut_one_is_refused() {
        let key = alarm(2, u64::MAX - 1);
        assert_eq!(alarm_of(&key).unwrap(), (2, u64::MAX - 1));
        assert!(alarm_of(&key[..key.len() - 1]).is_err());
        assert!(alarm_of(b"alarm/").is_err());
    }

    #[test]
    fn a_member_reads_back_and_a_cut_one_is_refused() {
        let published = Publish {
            member: 7,
            name: "a".into(),
            client_urls: vec!["http://a:1".into()],
        };
        let (key, value) = member(&published);
        assert_eq!(member_of(&key, value.clone()).unwrap(), published);
        assert!(member_of(&key, value.slice(..value.len() - 1)).is_err());
        assert!(version_of(&[0xff]).is_err());
    }

    #[test]
    fn a_removal_reads_back_and_a_cut_one_is_refused() {
        let key = removed(u64::MAX - 3);
        assert_eq!(removed_of(&key).unwrap(), u64::MAX - 3);
        assert!(removed_of(&key[..key.len() - 1]).is_err());
        assert!(removed_of(b"member/12345678").is_err());
    }
}
