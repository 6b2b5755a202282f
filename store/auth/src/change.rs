//! Changes of users and roles, each one entry. What is refused has changed nothing.

use std::sync::Arc;

use mainstay_mvcc::Batch;
use mainstay_proto::authpb::{self, Permission};
use mainstay_proto::entry::{UserAdd, UserChangePassword};
use mainstay_proto::etcdserverpb::{
    AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest, AuthUserGrantRoleRequest,
    AuthUserRevokeRoleRequest,
};

use crate::{Error, ROOT, Registry, row};

impl Registry {
    /// Enabling what is enabled changes nothing; neither moves the revision (etcd).
    pub(crate) fn enable(&mut self, batch: &mut Batch<'_>) -> Result<(), Error> {
        if self.state.enabled {
            return Ok(());
        }
        let root = self.users.get(ROOT).ok_or(Error::RootUserMissing)?;
        if !root.record.roles.iter().any(|role| role == ROOT) {
            return Err(Error::RootRoleMissing);
        }
        self.state.enabled = true;
        self.put_state(batch);
        Ok(())
    }

    /// False if it was disabled already.
    pub(crate) fn disable(&mut self, batch: &mut Batch<'_>) -> bool {
        let was = self.state.enabled;
        if was {
            self.state.enabled = false;
            self.changed(batch);
        }
        was
    }

    pub(crate) fn add_user(
        &mut self,
        batch: &mut Batch<'_>,
        request: &UserAdd,
    ) -> Result<(), Error> {
        if request.name.is_empty() {
            return Err(Error::UserEmpty);
        }
        if self.users.contains_key(&request.name) {
            return Err(Error::UserExists);
        }
        let options = request.options.unwrap_or_default();
        let mut user = authpb::User {
            name: copied(request.name.as_bytes()),
            options: Some(options),
            ..Default::default()
        };
        if !options.no_password {
            user.password = copied(&request.password_hash);
        }
        self.put_user(batch, user);
        self.changed(batch);
        Ok(())
    }

    pub(crate) fn change_password(
        &mut self,
        batch: &mut Batch<'_>,
        request: &UserChangePassword,
    ) -> Result<(), Error> {
        let user = self.users.get(&request.name).ok_or(Error::UserNotFound)?;
        let mut record = user.record.clone();
        record.password = match user.has_no_password() {
            true => bytes::Bytes::new(),
            false => copied(&request.password_hash),
        };
        self.put_user(batch, record);
        self.changed(batch);
        Ok(())
    }

    pub(crate) fn delete_user(&mut self, batch: &mut Batch<'_>, name: &str) -> Result<(), Error> {
        if self.state.enabled && name == ROOT {
            return Err(Error::InvalidManagement);
        }
        self.users.remove(name).ok_or(Error::UserNotFound)?;
        batch.put_meta(row::key(row::USERS, name.as_bytes()), None);
        self.changed(batch);
        Ok(())
    }

    /// The role root needs not exist; a role that the user has is granted again in silence, without
    /// a new revision (etcd).
    pub(crate) fn grant_role(
        &mut self,
        batch: &mut Batch<'_>,
        request: &AuthUserGrantRoleRequest,
    ) -> Result<(), Error> {
        let user = self.users.get(&request.user).ok_or(Error::UserNotFound)?;
        if request.role != ROOT && !self.roles.contains_key(&request.role) {
            return Err(Error::RoleNotFound);
        }
        let mut record = user.record.clone();
        let Err(at) = record.roles.binary_search(&request.role) else {
            return Ok(());
        };
        record.roles.insert(at, request.role.clone());
        self.put_user(batch, record);
        self.changed(batch);
        Ok(())
    }

    pub(crate) fn revoke_role(
        &mut self,
        batch: &mut Batch<'_>,
        request: &AuthUserRevokeRoleRequest,
    ) -> Result<(), Error> {
        if self.state.enabled && request.name == ROOT && request.role == ROOT {
            return Err(Error::InvalidManagement);
        }
        let user = self.users.get(&request.name).ok_or(Error::UserNotFound)?;
        let mut record = user.record.clone();
        record.roles.retain(|role| *role != request.role);
        if record.roles.len() == user.record.roles.len() {
            return Err(Error::RoleNotGranted);
        }
        self.put_user(batch, record);
        self.changed(batch);
        Ok(())
    }

    pub(crate) fn add_role(&mut self, batch: &mut Batch<'_>, name: &str) -> Result<(), Error> {
        if name.is_empty() {
            return Err(Error::RoleEmpty);
        }
        if self.roles.contains_key(name) {
            return Err(Error::RoleExists);
        }
        let role = authpb::Role {
            name: copied(name.as_bytes()),
            ..Default::default()
        };
        self.put_role(batch, name, role);
        self.changed(batch);
        Ok(())
    }

    /// Takes the role from every user too.
    pub(crate) fn delete_role(&mut self, batch: &mut Batch<'_>, name: &str) -> Result<(), Error> {
        if self.state.enabled && name == ROOT {
            return Err(Error::InvalidManagement);
        }
        self.roles.remove(name).ok_or(Error::RoleNotFound)?;
        batch.put_meta(row::key(row::ROLES, name.as_bytes()), None);
        for mut record in self.holders(name) {
            record.roles.retain(|role| role != name);
            self.put_user(batch, record);
        }
        self.changed(batch);
        Ok(())
    }

    /// The same range granted again takes the new type. The type's number is not looked at (etcd);
    /// one that does not exist grants nothing.
    pub(crate) fn grant_permission(
        &mut self,
        batch: &mut Batch<'_>,
        request: &AuthRoleGrantPermissionRequest,
    ) -> Result<(), Error> {
        let given = request.perm.as_ref().ok_or(Error::PermissionNotGiven)?;
        if !is_valid(given) {
            return Err(Error::InvalidManagement);
        }
        let role = self.roles.get(&request.name).ok_or(Error::RoleNotFound)?;
        let mut role = authpb::Role::clone(role);
        let same = |held: &&mut Permission| is_same(held, &given.key, &given.range_end);
        match role.key_permission.iter_mut().find(same) {
            Some(held) => held.perm_type = given.perm_type,
            None => {
                let behind = |held: &Permission| held.key <= given.key;
                let at = role.key_permission.partition_point(behind);
                let permission = Permission {
                    perm_type: given.perm_type,
                    key: copied(&given.key),
                    range_end: copied(&given.range_end),
                };
                role.key_permission.insert(at, permission);
            }
        }
        self.put_role(batch, &request.name, role);
        self.changed(batch);
        Ok(())
    }

    pub(crate) fn revoke_permission(
        &mut self,
        batch: &mut Batch<'_>,
        request: &AuthRoleRevokePermissionRequest,
    ) -> Result<(), Error> {
        let held = self.roles.get(&request.role).ok_or(Error::RoleNotFound)?;
        let mut role = authpb::Role::clone(held);
        role.key_permission
            .retain(|held| !is_same(held, &request.key, &request.range_end));
        if role.key_permission.len() == held.key_permission.len() {
            return Err(Error::PermissionNotGranted);
        }
        self.put_role(batch, &request.role, role);
        self.changed(batch);
        Ok(())
    }

    /// Records of the users that have the role.
    fn holders(&self, role: &str) -> Vec<authpb::User> {
        let holds = |user: &&Arc<crate::User>| user.record.roles.iter().any(|held| held == role);
        let users = self.users.values().filter(holds);
        users.map(|user| user.record.clone()).collect()
    }

    fn put_user(&mut self, batch: &mut Batch<'_>, record: authpb::User) {
        let (key, value) = row::user(&record);
        batch.put_meta(key, Some(value));
        // Names come from requests, where they are text.
        let name = String::from_utf8_lossy(&record.name).into_owned();
        let user = Arc::new(self.user_of(record));
        self.users.insert(name, user);
    }

    /// Puts the role and gives its holders what it says now.
    fn put_role(&mut self, batch: &mut Batch<'_>, name: &str, role: authpb::Role) {
        let (key, value) = row::role(&role);
        batch.put_meta(key, Some(value));
        self.roles.insert(name.to_owned(), Arc::new(role));
        for record in self.holders(name) {
            let user = Arc::new(self.user_of(record));
            let holder = String::from_utf8_lossy(&user.record.name).into_owned();
            self.users.insert(holder, user);
        }
    }

    fn changed(&mut self, batch: &mut Batch<'_>) {
        self.state.revision = self.state.revision.saturating_add(1);
        self.put_state(batch);
    }

    fn put_state(&self, batch: &mut Batch<'_>) {
        let key = bytes::Bytes::from_static(row::STATE);
        batch.put_meta(key, Some(self.state.encode()));
    }
}

/// Copied: a slice would keep the network buffer of its request alive.
fn copied(bytes: &[u8]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(bytes)
}

fn is_same(permission: &Permission, key: &[u8], range_end: &[u8]) -> bool {
    permission.key == key && permission.range_end == range_end
}

/// A permission is for one key, for a range that holds some, or from a key on.
fn is_valid(permission: &Permission) -> bool {
    let (key, end) = (&permission.key, &permission.range_end);
    !key.is_empty() && (end.is_empty() || key < end || end.as_ref() == b"\0")
}
