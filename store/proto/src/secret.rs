//! `Debug` of the messages that hold a password, its hash or a token: they name whom it is of.

use std::fmt;

use crate::authpb::User;
use crate::entry::{UserAdd, UserChangePassword};
use crate::etcdserverpb::{
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthenticateRequest, AuthenticateResponse,
};

macro_rules! named {
    ($($message:ident)*) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message))
                    .field("name", &self.name)
                    .finish_non_exhaustive()
            }
        }
    )*};
}

named! {
    AuthenticateRequest AuthUserAddRequest AuthUserChangePasswordRequest
    User UserAdd UserChangePassword
}

impl fmt::Debug for AuthenticateResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateResponse")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let request = AuthenticateRequest {
            name: "alice".into(),
            password: "canary".into(),
        };
        let shown = format!("{request:?}");
        assert!(
            shown.contains("alice") && !shown.contains("canary"),
            "{shown}"
        );
        let response = AuthenticateResponse {
            token: "canary".into(),
            ..Default::default()
        };
        assert!(!format!("{response:?}").contains("canary"));
    }
}
