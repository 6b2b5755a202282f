//! Refusals about users and roles, told apart. Members tell them by a text beside a code that many
//! share; the texts are of `etcdserver/api/v3rpc/rpctypes` (etcd 3.7).

use crate::error::Error;

/// Writes the enum and its texts from one table.
macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $name:ident = $($text:literal)|+,)+) => {
        /// Why a change or a question about users and roles was refused: [`Error::refusal`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Refusal {
            const ALL: &[(Refusal, &str)] = &[$($((Refusal::$name, $text)),+),+];
        }
    };
}

refusals! {
    /// There is a user of this name already.
    UserExists = "user name already exists",
    /// There is no user of this name.
    UserMissing = "user name not found",
    /// There is a role of this name already.
    RoleExists = "role name already exists",
    /// There is no role of this name.
    RoleMissing = "role name not found",
    /// The user does not hold the role.
    RoleNotGranted = "role is not granted to the user",
    /// The role permits nothing on exactly this range.
    PermissionNotGranted = "permission is not granted to the role",
    /// Users and roles need a name.
    NameEmpty = "name is empty",
    /// No user of this name has this password.
    WrongPassword = "authentication failed",
    /// Members take no password of this length: bcrypt, etcd's way to keep them, ends at 72 bytes.
    PasswordTooLong = "bcrypt: password length exceeds" | "mainstay: password is longer than",
    /// The caller may not do this.
    PermissionDenied = "permission denied",
    /// It needs authentication, which is off.
    AuthNotEnabled = "authentication is not enabled",
    /// Authentication needs a user `root`.
    RootUserMissing = "root user does not exist",
    /// Authentication needs a user `root` that holds the role `root`.
    RootRoleMissing = "root user does not have root role",
    /// A range that can hold no key, or something that would take root its rights.
    InvalidManagement = "invalid auth management",
}

impl Error {
    /// What a refusal says about users, roles and passwords; `None` if it is about something else.
    pub fn refusal(&self) -> Option<Refusal> {
        let Error::Refused { message, .. } = self else {
            return None;
        };
        let known = Refusal::ALL.iter();
        let mut known = known.filter(|(_, text)| message.contains(text));
        known.next().map(|(refusal, _)| *refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str) -> Error {
        Error::Refused {
            call: "UserAdd",
            code: tonic::Code::FailedPrecondition,
            message: message.to_owned(),
        }
    }

    #[test]
    fn each_text_is_one_refusal() {
        for (refusal, text) in Refusal::ALL {
            let error = refused(&format!("etcdserver: {text}"));
            assert_eq!(error.refusal(), Some(*refusal), "{text}");
        }
    }

    #[test]
    fn what_is_not_refused_and_what_is_about_keys_is_none() {
        let unknown = Error::OutcomeUnknown {
            call: "UserAdd",
            reason: "user name already exists".to_owned(),
        };
        assert_eq!(unknown.refusal(), None);
        assert_eq!(
            refused("etcdserver: mvcc: database space exceeded").refusal(),
            None
        );
    }
}
