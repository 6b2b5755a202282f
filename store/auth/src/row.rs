//! Rows of users and roles in the store, for the registry and for whoever copies a store.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mainstay_mvcc::Error;
use mainstay_proto::authpb;
use prost::Message;

/// Row of the state: see [`State`].
pub const STATE: &[u8] = b"auth/state";
/// Rows of users: this prefix, then the name; the value is the encoded [`authpb::User`].
pub const USERS: &[u8] = b"auth/user/";
/// Rows of roles, likewise.
pub const ROLES: &[u8] = b"auth/role/";

/// Revision of a registry that was never changed (etcd).
pub const FIRST_REVISION: u64 = 1;

/// First byte of the state's value; whether it is enabled follows in a byte, then the revision,
/// big endian.
const VERSION: u8 = 1;

/// What there is beside users and roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub enabled: bool,
    /// Grows with every change of users and roles.
    pub revision: u64,
}

impl Default for State {
    fn default() -> State {
        State {
            enabled: false,
            revision: FIRST_REVISION,
        }
    }
}

impl State {
    pub fn encode(self) -> Bytes {
        let mut value = BytesMut::with_capacity(10);
        value.put_u8(VERSION);
        value.put_u8(u8::from(self.enabled));
        value.put_u64(self.revision);
        value.freeze()
    }

    /// `None`, a store without a row, is the beginning.
    pub fn decode(value: Option<&[u8]>) -> Result<State, Error> {
        let Some(mut value) = value else {
            return Ok(State::default());
        };
        match (value.len(), value.try_get_u8(), value.try_get_u8()) {
            (10, Ok(VERSION), Ok(enabled @ (0 | 1))) => {
                let revision = value
                    .try_get_u64()
                    .map_err(|_| corrupt("state of users and roles is cut short".to_owned()))?;
                let enabled = enabled == 1;
                Ok(State { enabled, revision })
            }
            _ => Err(corrupt(
                "state of users and roles cannot be read".to_owned(),
            )),
        }
    }
}

/// Key and value of a user's row.
pub fn user(user: &authpb::User) -> (Bytes, Bytes) {
    (key(USERS, &user.name), user.encode_to_vec().into())
}

/// Key and value of a role's row.
pub fn role(role: &authpb::Role) -> (Bytes, Bytes) {
    (key(ROLES, &role.name), role.encode_to_vec().into())
}

/// The key of the row of that name.
pub fn key(prefix: &[u8], name: &[u8]) -> Bytes {
    [prefix, name].concat().into()
}

/// What a user's row says. Its key must bear the same name.
pub fn user_of(key: &[u8], value: Bytes) -> Result<authpb::User, Error> {
    match authpb::User::decode(value) {
        Ok(user) if key.strip_prefix(USERS) == Some(&user.name) => Ok(user),
        _ => Err(unreadable("user", key)),
    }
}

/// What a role's row says. Its key must bear the same name.
pub fn role_of(key: &[u8], value: Bytes) -> Result<authpb::Role, Error> {
    match authpb::Role::decode(value) {
        Ok(role) if key.strip_prefix(ROLES) == Some(&role.name) => Ok(role),
        _ => Err(unreadable("role", key)),
    }
}

/// A name as text; the API lets no other in.
pub(crate) fn name(bytes: &[u8]) -> Result<String, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable("name", bytes))?;
    Ok(text.to_owned())
}

fn unreadable(what: &str, key: &[u8]) -> Error {
    corrupt(format!(
        "{what} record {} cannot be read",
        key.escape_ascii()
    ))
}

fn corrupt(what: String) -> Error {
    Error::Corrupt { what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_and_anything_else_is_refused() {
        for enabled in [false, true] {
            let state = State {
                enabled,
                revision: u64::MAX - 1,
            };
            let value = state.encode();
            assert_eq!(State::decode(Some(&value)).unwrap(), state);
            for length in 0..value.len() {
                assert!(State::decode(Some(&value[..length])).is_err());
            }
            let mut odd = value.to_vec();
            odd[1] = 2;
            assert!(State::decode(Some(&odd)).is_err());
        }
        assert_eq!(State::decode(None).unwrap(), State::default());
    }

    #[test]
    fn a_record_under_another_name_is_refused() {
        let root = authpb::User {
            name: "root".into(),
            ..Default::default()
        };
        let (key, value) = user(&root);
        assert_eq!(user_of(&key, value.clone()).unwrap(), root);
        assert!(user_of(b"auth/user/other", value.clone()).is_err());
        assert!(role_of(&key, value).is_err());
        assert!(name(&[0xff]).is_err());
    }
}
