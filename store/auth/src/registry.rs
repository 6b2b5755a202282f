//! Users and roles as they stand after an entry, and what they permit.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use mainstay_mvcc::{Error as StoreError, Store};
use mainstay_proto::authpb::{self, permission};

use crate::row::{self, State};
use crate::{Caller, Error, Interval, ROOT, Union};

/// What is done with keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// The replicated state. Cheap to copy: records are shared.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    pub(crate) state: State,
    pub(crate) users: BTreeMap<String, Arc<User>>,
    pub(crate) roles: BTreeMap<String, Arc<authpb::Role>>,
}

/// A user, with what its roles come to.
pub struct User {
    pub(crate) record: authpb::User,
    is_root: bool,
    read: Union,
    write: Union,
}

impl Registry {
    /// Reads users and roles of a store just opened or installed.
    pub fn load(store: &Store) -> Result<Registry, StoreError> {
        let state = State::decode(store.meta(row::STATE)?.as_deref())?;
        let mut registry = Registry {
            state,
            ..Registry::default()
        };
        for (key, value) in store.meta_scan(row::ROLES)? {
            let role = row::role_of(&key, value)?;
            let name = row::name(&role.name)?;
            registry.roles.insert(name, Arc::new(role));
        }
        for (key, value) in store.meta_scan(row::USERS)? {
            let user = row::user_of(&key, value)?;
            let name = row::name(&user.name)?;
            let user = registry.user_of(user);
            registry.users.insert(name, Arc::new(user));
        }
        Ok(registry)
    }

    /// Whether rights are asked for at all.
    pub fn is_enabled(&self) -> bool {
        self.state.enabled
    }

    /// Grows with every change of users and roles.
    pub fn revision(&self) -> u64 {
        self.state.revision
    }

    /// Refuses a caller without credentials.
    pub fn permits_known(&self, caller: &Caller) -> Result<(), Error> {
        match caller {
            Caller::Nobody if self.state.enabled => Err(Error::UserEmpty),
            _ => Ok(()),
        }
    }

    /// Refuses everybody without the role root.
    pub fn permits_root(&self, caller: &Caller) -> Result<(), Error> {
        if !self.state.enabled || *caller == Caller::Member {
            return Ok(());
        }
        let name = caller.name().filter(|name| !name.is_empty());
        let user = self.users.get(name.ok_or(Error::UserEmpty)?);
        match user.ok_or(Error::UserNotFound)?.is_root {
            true => Ok(()),
            false => Err(Error::Denied),
        }
    }

    /// Refuses whoever may not do this with every key of the range, and credentials older than
    /// the last change of users and roles.
    pub fn permits(
        &self,
        caller: &Caller,
        access: Access,
        key: &[u8],
        range_end: &[u8],
    ) -> Result<(), Error> {
        if !self.state.enabled {
            return Ok(());
        }
        let (name, revision) = match caller {
            Caller::Member => return Ok(()),
            Caller::Nobody => return Err(Error::UserEmpty),
            Caller::User { name, revision } => (name, *revision),
        };
        if revision < self.state.revision {
            return Err(Error::OldRevision);
        }
        let user = self.users.get(name).ok_or(Error::Denied)?;
        match user.may(access, key, range_end) {
            true => Ok(()),
            false => Err(Error::Denied),
        }
    }

    /// Whether the caller is the user of this name.
    pub fn is_self(&self, caller: &Caller, name: &str) -> bool {
        caller.name() == Some(name)
    }

    /// Whether the role is one of the caller's.
    pub fn has_role(&self, caller: &Caller, role: &str) -> bool {
        let user = caller.name().and_then(|name| self.users.get(name));
        user.is_some_and(|user| user.record.roles.iter().any(|held| held == role))
    }

    pub fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// Names of users, sorted.
    pub fn user_names(&self) -> Vec<String> {
        self.users.keys().cloned().collect()
    }

    /// Names of the users whose password is kept as a hash that begins so.
    pub fn user_names_by_hash(&self, begin: &[u8]) -> Vec<String> {
        let users = self.users.iter();
        users
            .filter(|(_, user)| user.record.password.starts_with(begin))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Names of roles, sorted.
    pub fn role_names(&self) -> Vec<String> {
        self.roles.keys().cloned().collect()
    }

    /// Permissions of a role. The role root, where it exists, is shown with all there is.
    pub fn permissions(&self, role: &str) -> Result<Vec<authpb::Permission>, Error> {
        let found = self.roles.get(role).ok_or(Error::RoleNotFound)?;
        if role == ROOT {
            return Ok(vec![authpb::Permission {
                perm_type: permission::Type::Readwrite as i32,
                key: Bytes::new(),
                range_end: Bytes::from_static(b"\0"),
            }]);
        }
        Ok(found.key_permission.clone())
    }

    /// Makes a user of its record, by the roles as they are.
    pub(crate) fn user_of(&self, record: authpb::User) -> User {
        let roles = record.roles.iter();
        let permissions: Vec<&authpb::Permission> = roles
            .filter_map(|role| self.roles.get(role))
            .flat_map(|role| &role.key_permission)
            .collect();
        let of = |access: Access| {
            let granted = permissions.iter().filter(|granted| grants(granted, access));
            granted
                .map(|granted| Interval::of(&granted.key, &granted.range_end))
                .collect()
        };
        User {
            is_root: record.roles.iter().any(|role| role == ROOT),
            read: of(Access::Read),
            write: of(Access::Write),
            record,
        }
    }
}

/// A type that does not exist grants nothing.
fn grants(permission: &authpb::Permission, access: Access) -> bool {
    match permission::Type::try_from(permission.perm_type) {
        Ok(permission::Type::Readwrite) => true,
        Ok(permission::Type::Read) => access == Access::Read,
        Ok(permission::Type::Write) => access == Access::Write,
        Err(_) => false,
    }
}

impl User {
    fn may(&self, access: Access, key: &[u8], range_end: &[u8]) -> bool {
        let granted = match access {
            Access::Read => &self.read,
            Access::Write => &self.write,
        };
        self.is_root || granted.covers(key, range_end)
    }

    /// Roles in the order of their names.
    pub fn roles(&self) -> &[String] {
        &self.record.roles
    }

    /// The hash that a password is verified by; empty for a user that cannot log in by one.
    pub fn password_hash(&self) -> &[u8] {
        &self.record.password
    }

    /// Whether the user logs in by certificate only.
    pub fn has_no_password(&self) -> bool {
        let options = self.record.options.as_ref();
        options.is_some_and(|options| options.no_password)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.record.name)
            .field("roles", &self.record.roles)
            .finish_non_exhaustive()
    }
}
