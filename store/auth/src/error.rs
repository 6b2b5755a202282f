//! What a request can be refused for.

/// Refusals: answers to a client, alike on every member. The API turns each into etcd's code and
/// text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No credentials came with the request, or a user without a name is to be added.
    #[error("user name is empty")]
    UserEmpty,
    #[error("role name is empty")]
    RoleEmpty,
    #[error("user exists already")]
    UserExists,
    #[error("user not found")]
    UserNotFound,
    #[error("role exists already")]
    RoleExists,
    #[error("role not found")]
    RoleNotFound,
    #[error("role is not granted to the user")]
    RoleNotGranted,
    #[error("no permission is given")]
    PermissionNotGiven,
    #[error("permission is not granted to the role")]
    PermissionNotGranted,
    /// A change that would lock root out, or a permission on a range that cannot be.
    #[error("invalid change of users or roles")]
    InvalidManagement,
    #[error("there is no user root")]
    RootUserMissing,
    #[error("user root does not have the role root")]
    RootRoleMissing,
    #[error("authentication is not enabled")]
    NotEnabled,
    /// Wrong password or unknown user; nobody is told which.
    #[error("authentication failed")]
    Failed,
    /// The credentials were verified before users or roles changed.
    #[error("revision of users and roles is old")]
    OldRevision,
    #[error("permission denied")]
    Denied,
}
