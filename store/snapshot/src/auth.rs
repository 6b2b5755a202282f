//! Users and roles as a backup holds them.
//!
//! This is the seam to the room that keeps them: [`Auth`] is all of it in plain structs, with the
//! rows of etcd's three buckets on one side. [`Auth::of_store`] and [`Auth::into_store`] are the
//! other side, and the only two places that change once a store has users.

use bytes::Bytes;
use mainstay_mvcc::{Frozen, Loader};
use mainstay_proto::authpb;
use prost::Message;

use crate::{Error, schema};

/// Revision of authentication that was never changed (etcd).
const FIRST_REVISION: u64 = 1;

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
    /// What a store holds. None keeps users yet.
    pub fn of_store(_: &Frozen<'_>) -> Result<Auth, Error> {
        Ok(Auth::default())
    }

    /// Puts it into a new store. There is no place for it yet, and to leave a password out in
    /// silence would open what was locked.
    pub fn into_store(self, _: &mut Loader) -> Result<(), Error> {
        if self.enabled || !self.users.is_empty() || !self.roles.is_empty() {
            return Err(Error::Unsupported(format!(
                "it has {} users and {} roles, which are not there yet",
                self.users.len(),
                self.roles.len()
            )));
        }
        Ok(())
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
                self.users.push(authpb::User::decode(value).map_err(odd)?);
            }
            schema::AUTH_ROLES => {
                let value = Bytes::copy_from_slice(value);
                self.roles.push(authpb::Role::decode(value).map_err(odd)?);
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
