//! Why a user or a role is ready, or is not. Each reason has a line in `operator/README.md` that says
//! what to do; a test holds the two together. What keeps a store from being asked has reasons of its
//! own, in `sessions.rs`.

/// Everything is as asked for.
pub const AS_ASKED: &str = "AsAsked";
/// An older resource claims the name.
pub const CONFLICT: &str = "Conflict";
/// A role that is to be granted is not there.
pub const ROLE_MISSING: &str = "RoleMissing";
/// A Secret is missing, or lacks what is needed of it.
pub const SECRET_MISSING: &str = "SecretMissing";
/// The Secret that the operator is to write is another's.
pub const SECRET_FOREIGN: &str = "SecretForeign";
/// The authority of the cluster cannot be used.
pub const SECRET_INVALID: &str = "SecretInvalid";
/// Members take no password of this length.
pub const PASSWORD_TOO_LONG: &str = "PasswordTooLong";
/// The operator does not issue the certificates of this cluster.
pub const NO_AUTHORITY: &str = "NoAuthority";
/// The cluster does not ask for users.
pub const AUTH_DISABLED: &str = "AuthDisabled";
/// The store refuses a change.
pub const REFUSED: &str = "StoreRefused";
/// The store does not answer.
pub const UNREACHABLE: &str = "StoreUnreachable";
/// Of events: somebody else's change was put right.
pub const DRIFTED: &str = "Drifted";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_say_what_to_do() {
        let page = std::fs::read_to_string("../README.md").unwrap();
        let (_, part) = page.split_once("## Users and roles").unwrap();
        for reason in [
            AS_ASKED,
            CONFLICT,
            ROLE_MISSING,
            SECRET_MISSING,
            SECRET_FOREIGN,
            SECRET_INVALID,
            PASSWORD_TOO_LONG,
            NO_AUTHORITY,
            AUTH_DISABLED,
            REFUSED,
            UNREACHABLE,
            DRIFTED,
        ] {
            assert!(part.contains(&format!("| `{reason}` |")), "{reason}");
        }
    }
}
