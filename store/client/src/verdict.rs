//! What an answer that is an error means for the call: may it be sent again, and to whom.
//!
//! etcd's members say by one code, `Unavailable`, both that they took nothing and that they do not
//! know; the texts that tell them apart are of `etcdserver/api/v3rpc/rpctypes` (etcd 3.7).

use std::error::Error as _;

use tonic::{Code, ConnectError, Status};

/// Said by a member whose cluster does not know the token, or knows newer users than the token.
const TOKEN_TEXTS: [&str; 3] = [
    "etcdserver: invalid auth token",
    "etcdserver: revision of auth store is old",
    // What a member says to a request without a token once authentication has been switched on.
    "etcdserver: user name is empty",
];
/// Said without telling by the code that another try is vain: of a log-in, and of a new password.
const REFUSED_TEXTS: [&str; 2] = [
    "password was given for no password user",
    "bcrypt: password length exceeds",
];
/// Said before anything was proposed.
const NOT_TAKEN: [&str; 2] = ["etcdserver: too many requests", "etcdserver: not capable"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A new token may help, and the call was not carried out.
    TokenStale,
    /// The call is wrong, or not allowed, wherever it is sent.
    Refused,
    /// It never reached a member, or was not taken by it: another may take it.
    NotTaken,
    /// It may have been carried out.
    Unknown,
}

impl Verdict {
    pub(crate) fn of(status: &Status) -> Verdict {
        let message = status.message();
        if TOKEN_TEXTS.iter().any(|text| message.contains(text)) {
            return Verdict::TokenStale;
        }
        if never_sent(status) || NOT_TAKEN.iter().any(|text| message.contains(text)) {
            return Verdict::NotTaken;
        }
        if REFUSED_TEXTS.iter().any(|text| message.contains(text)) {
            return Verdict::Refused;
        }
        match status.code() {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => Verdict::Refused,
            _ => Verdict::Unknown,
        }
    }
}

/// True if no connection could be made.
fn never_sent(status: &Status) -> bool {
    let mut reason = status.source();
    while let Some(error) = reason {
        if error.is::<ConnectError>() {
            return true;
        }
        reason = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_never_taken_for_a_refusal() {
        for code in [
            Code::Unavailable,
            Code::Unknown,
            Code::Internal,
            Code::Cancelled,
        ] {
            let status = Status::new(code, "etcdserver: request timed out");
            assert_eq!(Verdict::of(&status), Verdict::Unknown, "{code:?}");
        }
    }

    #[test]
    fn a_stale_token_is_told_from_a_wrong_password() {
        let stale = Status::unauthenticated("etcdserver: invalid auth token");
        assert_eq!(Verdict::of(&stale), Verdict::TokenStale);
        let old = Status::invalid_argument("etcdserver: revision of auth store is old");
        assert_eq!(Verdict::of(&old), Verdict::TokenStale);
        let wrong = Status::invalid_argument(
            "etcdserver: authentication failed, invalid user ID or password",
        );
        assert_eq!(Verdict::of(&wrong), Verdict::Refused);
        let without =
            Status::unknown("auth: authentication failed, password was given for no password user");
        assert_eq!(Verdict::of(&without), Verdict::Refused);
        let long = Status::unknown("bcrypt: password length exceeds 72 bytes");
        assert_eq!(Verdict::of(&long), Verdict::Refused);
    }

    #[test]
    fn a_member_that_has_too_much_to_do_took_nothing() {
        let busy = Status::resource_exhausted("etcdserver: too many requests");
        assert_eq!(Verdict::of(&busy), Verdict::NotTaken);
        let full = Status::resource_exhausted("etcdserver: mvcc: database space exceeded");
        assert_eq!(Verdict::of(&full), Verdict::Refused);
    }
}
