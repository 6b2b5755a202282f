//! What can come of a call, told apart by what the caller may do about it.

use std::time::Duration;

use tonic::Code;

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An endpoint, a name or another setting cannot be used. Nothing was dialled.
    #[error("{value:?} is no {what}: {reason}")]
    Setting {
        what: &'static str,
        value: String,
        reason: String,
    },
    /// Certificates, keys or bundles cannot be used.
    #[error(transparent)]
    Tls(#[from] mainstay_transport::Error),
    /// No member could be reached in time: nothing was sent, so nothing was changed.
    #[error("{call}: no member can be reached: {reason}")]
    Unreachable { call: &'static str, reason: String },
    /// A read brought no answer in time, from no member.
    #[error("{call}: no answer within {within:?}: {reason}")]
    Deadline {
        call: &'static str,
        within: Duration,
        reason: String,
    },
    /// A write was sent and its answer is missing: it may have been carried out, or may yet be. It
    /// is not sent again; whoever does that must know that twice is as good as once, or read first.
    #[error("{call}: not known whether it was carried out: {reason}")]
    OutcomeUnknown { call: &'static str, reason: String },
    /// A member refused it. Nothing was changed.
    #[error("{call}: {message}")]
    Refused {
        call: &'static str,
        code: Code,
        message: String,
    },
    /// The revision asked for is gone: read what is there now, and go on from there.
    #[error("revisions before {revision} have been compacted")]
    Compacted { revision: i64 },
    /// The lease is over, and with it every key that hung on it.
    #[error("lease {id:016x} is lost: {reason}")]
    LeaseLost { id: i64, reason: String },
    /// The other side speaks another language.
    #[error("{call}: {reason}")]
    Malformed { call: &'static str, reason: String },
    /// A value cannot be made of the bytes of a key, or bytes of a value.
    #[error("{key}: {reason}")]
    Value { key: String, reason: String },
    /// Somebody else has written the key since it was read.
    #[error("{key} was changed by another")]
    Conflict { key: String },
}

impl Error {
    /// True if the call may have changed something although it failed.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Error::OutcomeUnknown { .. })
    }

    /// The gRPC code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}
