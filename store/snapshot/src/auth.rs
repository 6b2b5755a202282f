//! Users and roles as a backup holds them.
//!
//! [`Auth`] is all of it in plain structs, with the rows of etcd's three buckets on one side and
//! those of `store/auth` on the other.

use bytes::Bytes;
use mainstay_auth::row::{self, FIRST_REVISION, State};
use mainstay_mvcc::{Frozen, Loader};
use mainstay_proto::authpb;
use prost::Message;

use crate::{Error, schema};

/// How a hash begins that etcd can verify a password by.
const BCRYPT: [&[u8]; 4] = [b"$2a$", b"$2b$", b"$2x$", b"$2y$"];

#[derive(Debug, Clone, PartialEq)]
pub struct Auth {
    pub enabled: bool,
    pub revision: u64,
    pub users: Vec<authpb::User>,
    pub roles: Vec<authpb::Role>,
}

/// A row's key and value.
type Row = (Vec<u8>, Vec<u8>);

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            enabled: false,
            revision: FIRST_REVISION,
            users: Vec::new(),
            roles: Vec::new(),
        }
    }
}

impl Auth {
    /// What a store holds.
    pub fn of_store(store: &Frozen<'_>) -> Result<Auth, Error> {
        let State { enabled, revision } = State::decode(store.meta(row::STATE)?.as_deref())?;
        let users = store.meta_scan(row::USERS)?.into_iter();
        let users = users.map(|(key, value)| row::user_of(&key, value));
        let roles = store.meta_scan(row::ROLES)?.into_iter();
        let roles = roles.map(|(key, value)| row::role_of(&key, value));
        Ok(Auth {
            enabled,
            revision,
            users: users.collect::<Result<_, _>>()?,
            roles: roles.collect::<Result<_, _>>()?,
        })
    }

    /// Puts it into a new store.
    pub fn into_store(self, loader: &mut Loader) -> Result<(), Error> {
        if self == Auth::default() {
            return Ok(());
        }
        let (enabled, revision) = (self.enabled, self.revision);
        let state = State { enabled, revision };
        loader.put_meta(row::STATE, &state.encode())?;
        for role in &self.roles {
            let (key, value) = row::role(role);
            loader.put_meta(&key, &value)?;
        }
        for user in &self.users {
            let (key, value) = row::user(user);
            loader.put_meta(&key, &value)?;
        }
        Ok(())
    }

    /// Names of the users whose password etcd cannot verify: it knows bcrypt only.
    pub fn unreadable_for_etcd(&self) -> Vec<String> {
        let odd = |user: &&authpb::User| {
            let bcrypt = BCRYPT.iter().any(|begin| user.password.starts_with(begin));
            !user.password.is_empty() && !bcrypt
        };
        let names = self.users.iter().filter(odd);
        names
            .map(|user| String::from_utf8_lossy(&user.name).into_owned())
            .collect()
    }

    /// Rows of the bucket `auth`. etcd has none for what was never switched.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        if self.enabled {
            rows.push((schema::AUTH_ENABLED.to_vec(), vec![1]));
        }
        let revision = self.revision.to_be_bytes().to_vec();
        rows.push((schema::AUTH_REVISION.to_vec(), revision));
        rows
    }

    /// Rows of the bucket `authUsers`, sorted.
    pub fn user_rows(&self) -> Vec<Row> {
        let row = |user: &authpb::User| (user.name.to_vec(), user.encode_to_vec());
        sorted(self.users.iter().map(row))
    }

    /// Rows of the bucket `authRoles`, sorted.
    pub fn role_rows(&self) -> Vec<Row> {
        let row = |role: &authpb::Role| (role.name.to_vec(), role.encode_to_vec());
        sorted(self.roles.iter().map(row))
    }

    /// Takes a row of one of the three buckets.
    pub(crate) fn take(&mut self, bucket: &[u8], key: &[u8], value: &[u8]) -> Result<(), Error> {
        let odd = |error| Error::damaged(format!("a row of users or roles: {error}"));
        match bucket {
            schema::AUTH_USERS => {
                let value = Bytes::copy_from_slice(value);
                let mut user = authpb::User::decode(value).map_err(odd)?;
                named(key, &user.name)?;
                // Looked up by halves, and etcd sorts them too.
                user.roles.sort_unstable();
                self.users.push(user);
            }
            schema::AUTH_ROLES => {
                let value = Bytes::copy_from_slice(value);
                let role = authpb::Role::decode(value).map_err(odd)?;
                named(key, &role.name)?;
                self.roles.push(role);
            }
            _ if key == schema::AUTH_ENABLED => self.enabled = value == [1],
            _ if key == schema::AUTH_REVISION => {
                let revision = value.try_into().map(u64::from_be_bytes);
                self.revision =
                    revision.map_err(|_| Error::damaged("authRevision has the wrong length"))?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// A row must stand under its own name, which must be text.
fn named(key: &[u8], name: &[u8]) -> Result<(), Error> {
    match key == name && std::str::from_utf8(name).is_ok() {
        true => Ok(()),
        false => Err(Error::damaged(format!(
            "a row of users or roles stands under the name {}",
            key.escape_ascii()
        ))),
    }
}

fn sorted(rows: impl Iterator<Item = Row>) -> Vec<Row> {
    let mut rows: Vec<Row> = rows.collect();
    rows.sort();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back() {
        let auth = Auth {
            enabled: true,
            revision: 9,
            users: vec![authpb::User {
                name: "root".into(),
                password: "hash".into(),
                roles: vec!["root".into()],
                options: None,
            }],
            roles: vec![authpb::Role {
                name: "root".into(),
                key_permission: Vec::new(),
            }],
        };
        let mut back = Auth::default();
        for (bucket, rows) in [
            (schema::AUTH, auth.rows()),
            (schema::AUTH_USERS, auth.user_rows()),
            (schema::AUTH_ROLES, auth.role_rows()),
        ] {
            for (key, value) in rows {
                back.take(bucket, &key, &value).unwrap();
            }
        }
        assert_eq!(back, auth);
        assert!(back.take(schema::AUTH_USERS, b"x", &[0xff]).is_err());
        assert!(
            back.take(schema::AUTH, schema::AUTH_REVISION, b"1")
                .is_err()
        );
    }

    #[test]
    fn a_store_without_users_has_etcds_rows() {
        let row = (b"authRevision".to_vec(), vec![0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(Auth::default().rows(), [row]);
        assert!(Auth::default().user_rows().is_empty());
    }
}
