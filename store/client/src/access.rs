//! Users, roles and what they may do: etcd's Auth API.
//!
//! A role holds permissions on ranges of keys, a user holds roles, and the role `root` may do
//! everything. Nobody is asked who they are before [`Access::enable`].
//!
//! ```no_run
#![doc = include_str!("../examples/access.rs")]
//! ```
//!
//! Reads go from member to member until one answers. Changes are sent once, as every write of
//! [`Client`]: after [`Error::OutcomeUnknown`] look with [`Access::user`] or [`Access::role`] before
//! sending them again. Whoever is not root is refused with [`Refusal::PermissionDenied`], but for the
//! reading of its own user and roles.

mod permission;
mod refusal;

use std::future::Future;
use std::time::Duration;

use mainstay_proto::authpb::{Permission as Wire, UserAddOptions};
use mainstay_proto::etcdserverpb::auth_client::AuthClient;
use mainstay_proto::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest,
    AuthRoleGetRequest, AuthRoleGrantPermissionRequest, AuthRoleListRequest,
    AuthRoleRevokePermissionRequest, AuthStatusRequest, AuthUserAddRequest,
    AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest,
    AuthUserGrantRoleRequest, AuthUserListRequest, AuthUserRevokeRoleRequest, AuthenticateRequest,
};
use tonic::{Response, Status};

use crate::calls::{Kind, Line};
use crate::client::Client;
use crate::error::Error;

pub use permission::{Permission, Rights};
pub use refusal::Refusal;

/// Users and roles of a cluster, as a client may see and change them.
#[derive(Clone, Debug)]
pub struct Access {
    client: Client,
    within: Duration,
}

/// Whether users are asked for, and how far their record has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthStatus {
    pub enabled: bool,
    /// Grows with every change of users, passwords, roles and permissions, by whomever. Two equal
    /// ones mean that nothing has changed between them.
    pub revision: u64,
}

impl Client {
    /// Users, roles and permissions. The client's namespace does not apply to them: permissions are
    /// on keys as the store has them.
    pub fn access(&self) -> Access {
        Access {
            client: self.clone(),
            within: self.deadline(),
        }
    }
}

/// The stub on one line.
fn auth(line: Line) -> AuthClient<Line> {
    AuthClient::new(line)
}

impl Access {
    /// Instead of the client's deadline, for each call.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Access {
        self.within = deadline;
        self
    }

    async fn ask<R, A, F>(&self, call: &'static str, kind: Kind, ask: A) -> Result<R, Error>
    where
        A: Fn(Line) -> F,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        self.client.calls().ask(call, kind, self.within, ask).await
    }

    /// # Errors
    /// [`Refusal::PermissionDenied`] while authentication is on and the caller is nobody.
    pub async fn status(&self) -> Result<AuthStatus, Error> {
        let ask = |line| async move { auth(line).auth_status(AuthStatusRequest {}).await };
        let answer = self.ask("AuthStatus", Kind::Read, ask).await?;
        Ok(AuthStatus {
            enabled: answer.enabled,
            revision: answer.auth_revision,
        })
    }

    /// From now on every call but a log-in needs a user.
    ///
    /// # Errors
    /// [`Refusal::RootUserMissing`] and [`Refusal::RootRoleMissing`]: nobody could switch it off again.
    pub async fn enable(&self) -> Result<(), Error> {
        let ask = |line| async move { auth(line).auth_enable(AuthEnableRequest {}).await };
        self.ask("AuthEnable", Kind::Write, ask).await.map(drop)
    }

    /// From now on nobody is asked who they are. Users and roles stay.
    pub async fn disable(&self) -> Result<(), Error> {
        let ask = |line| async move { auth(line).auth_disable(AuthDisableRequest {}).await };
        self.ask("AuthDisable", Kind::Write, ask).await.map(drop)
    }

    /// Adds a user that logs in by a password.
    ///
    /// # Errors
    /// [`Refusal::UserExists`], [`Refusal::NameEmpty`], and [`Refusal::PasswordTooLong`].
    pub async fn add_user(&self, name: &str, password: &str) -> Result<(), Error> {
        self.add(name, password, false).await
    }

    /// Adds a user that no password opens: it is known by certificates whose common name is its own.
    /// It can never be given a password; for that it must be deleted and added again.
    ///
    /// # Errors
    /// [`Refusal::UserExists`], and [`Refusal::NameEmpty`].
    pub async fn add_user_without_password(&self, name: &str) -> Result<(), Error> {
        self.add(name, "", true).await
    }

    async fn add(&self, name: &str, password: &str, no_password: bool) -> Result<(), Error> {
        let request = AuthUserAddRequest {
            name: name.to_owned(),
            password: password.to_owned(),
            options: Some(UserAddOptions { no_password }),
            ..AuthUserAddRequest::default()
        };
        let ask = |line| {
            let request = request.clone();
            async move { auth(line).user_add(request).await }
        };
        self.ask("UserAdd", Kind::Write, ask).await.map(drop)
    }

    /// Deletes a user. Its tokens are good no longer.
    ///
    /// # Errors
    /// [`Refusal::UserMissing`]; [`Refusal::InvalidManagement`] for `root` while authentication is on.
    pub async fn delete_user(&self, name: &str) -> Result<(), Error> {
        let request = AuthUserDeleteRequest {
            name: name.to_owned(),
        };
        let ask = |line| {
            let request = request.clone();
            async move { auth(line).user_delete(request).await }
        };
        self.ask("UserDelete", Kind::Write, ask).await.map(drop)
    }

    /// The names of all users.
    pub async fn users(&self) -> Result<Vec<String>, Error> {
        let ask = |line| async move { auth(line).user_list(AuthUserListRequest {}).await };
        let answer = self.ask("UserList", Kind::Read, ask).await?;
        Ok(answer.users)
    }

    /// The roles that a user holds; `None` if there is no such user.
    pub async fn user(&self, name: &str) -> Result<Option<Vec<String>>, Error> {
        let request = AuthUserGetRequest {
            name: name.to_owned(),
        };
        let ask = |line| {
            let request = request.clone();
            async move { auth(line).user_get(request).await }
        };
        let answer = self.ask("UserGet", Kind::Read, ask).await;
        unless(answer.map(|answer| answer.roles), Refusal::UserMissing)
    }

    /// Gives a user another password. Its tokens are good no longer. A user without a password stays
    /// without one, and that is no error.
    ///
    /// # Errors
    /// [`Refusal::UserMissing`], and [`Refusal::PasswordTooLong`].
    pub async fn change_password(&self, name: &str, password: &str) -> Result<(), Error> {
        let request = AuthUserChangePasswordRequest {
            name: name.to_owned(),
            password: password.to_owned(),
            ..AuthUserChangePasswordRequest::default()
        };
        let ask = |line| {
            let request = request.clone();
            async move { auth(line).user_change_password(request).await }
        };
        let answer = self.ask("UserChangePassword", Kind::Write, ask).await;
        answer.map(drop)
    }

    /// Whether a password opens a user: a log-in whose token is thrown away. False as well if there
    /// is no such user, or none with a password. Members hash it on purpose slowly, and limit those
    /// that fail.
    ///
    /// # Errors
    /// [`Refusal::AuthNotEnabled`]: passwords are not looked at then.
    pub async fn is_password(&self, name: &str, password: &str) -> Result<bool, Error> {
        let request = AuthenticateRequest {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        let ask = |line| {
            let request = request.clone();
            async move { auth(line).authenticate(request).await }
        };
        let answer = self.ask("Authenticate", Kind::Read, ask).await;
        unless(answer, Refusal::WrongPassword).map(|answer| answer.is_some())
    }

    /// Grants a role to a user. One that is granted already is no error.
    ///
    /// # Errors
    /// [`Refusal::UserMissing`] and [`Refusal::RoleMissing`].
    pub async fn grant_role(&self, user: &str, role: &str) -> Result<(), Error> {
        let request = AuthUserGrantRoleRequest {
            user: user.to_owned(),
            role: role.to_owned(),
        };
        let ask = |line| {
            let request = request.clone();
            async move { auth(line).user_grant_role(request).await }
        };
        self.ask("UserGrantRole", Kind::Write, ask).await.map(drop)
    }

    /// # Errors
    /// [`Refusal::UserMissing`] and [`Refusal::RoleNotGranted`].
    pub async fn revoke_role(&self, user: &str, role: &str) -> Result<(), Error> {
        let request = AuthUserRevokeRoleRequest {
            name: user.to_owned(),
            role: role.to_owned(),
        };
        let ask = |line| {
            let request = request.clone();
            async move { auth(line).user_revoke_role(request).await }
        };
        self.ask("UserRevokeRole", Kind::Write, ask).await.map(drop)
    }

    /// Adds a role that permits nothing yet.
    ///
    /// # Errors
    /// [`Refusal::RoleExists`], and [`Refusal::NameEmpty`].
    pub async fn add_role(&self, name: &str) -> Result<(), Error> {
        let request = AuthRoleAddRequest {
            name: name.to_owned(),
        };
        let ask = |line| {
            let request = request.clone();
            async move { auth(line).role_add(request).await }
        };
        self.ask("RoleAdd", Kind::Write, ask).await.map(drop)
    }

    /// Deletes a role, and takes it from every user that holds it.
    ///
    /// # Errors
    /// [`Refusal::RoleMissing`]; [`Refusal::InvalidManagement`] for `root` while authentication is on.
    pub async fn delete_role(&self, name: &str) -> Result<(), Error> {
        let request = AuthRoleDeleteRequest {
            role: name.to_owned(),
        };
        let ask = |line| {
            let request = request.clone();
            async move { auth(line).role_delete(request).await }
        };
        self.ask("RoleDelete", Kind::Write, ask).await.map(drop)
    }

    /// The names of all roles.
    pub async fn roles(&self) -> Result<Vec<String>, Error> {
        let ask = |line| async move { auth(line).role_list(AuthRoleListRequest {}).await };
        let answer = self.ask("RoleList", Kind::Read, ask).await?;
        Ok(answer.roles)
    }

    /// What a role permits; `None` if there is no such role.
    pub async fn role(&self, name: &str) -> Result<Option<Vec<Permission>>, Error> {
        let request = AuthRoleGetRequest {
            role: name.to_owned(),
        };
        let ask = |line| {
            let request = request.clone();
            async move { auth(line).role_get(request).await }
        };
        let answer = self.ask("RoleGet", Kind::Read, ask).await;
        let Some(answer) = unless(answer, Refusal::RoleMissing)? else {
            return Ok(None);
        };
        let permissions = answer.perm.into_iter().map(Permission::of);
        permissions.collect::<Result<_, _>>().map(Some)
    }

    /// Permits something to a role. On the same range it takes the place of what was permitted there
    /// before.
    ///
    /// # Errors
    /// [`Refusal::RoleMissing`]; [`Refusal::InvalidManagement`] if its
    /// range can hold no key.
    pub async fn grant_permission(&self, role: &str, permission: Permission) -> Result<(), Error> {
        let request = AuthRoleGrantPermissionRequest {
            name: role.to_owned(),
            perm: Some(Wire::from(permission)),
        };
        let ask = |line| {
            let request = request.clone();
            async move { auth(line).role_grant_permission(request).await }
        };
        let answer = self.ask("RoleGrantPermission", Kind::Write, ask).await;
        answer.map(drop)
    }

    /// Takes back what a role permits on exactly this range, reads and writes alike.
    ///
    /// # Errors
    /// [`Refusal::RoleMissing`] and [`Refusal::PermissionNotGranted`].
    pub async fn revoke_permission(
        &self,
        role: &str,
        permission: &Permission,
    ) -> Result<(), Error> {
        let request = AuthRoleRevokePermissionRequest {
            role: role.to_owned(),
            key: permission.key.clone(),
            range_end: permission.end.clone(),
        };
        let ask = |line| {
            let request = request.clone();
            async move { auth(line).role_revoke_permission(request).await }
        };
        let answer = self.ask("RoleRevokePermission", Kind::Write, ask).await;
        answer.map(drop)
    }
}

/// What is missing is an answer.
fn unless<R>(answer: Result<R, Error>, missing: Refusal) -> Result<Option<R>, Error> {
    match answer {
        Err(error) if error.refusal() == Some(missing) => Ok(None),
        answer => answer.map(Some),
    }
}
