//! Why a member could not be asked, or what it refused.

use std::time::Duration;

use tonic::Code;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the credentials cannot be used: {0}")]
    Credentials(#[from] mainstay_transport::Error),
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("{host} did not answer {call} within {} s", .within.as_secs_f32())]
    Slow {
        host: String,
        call: &'static str,
        within: Duration,
    },
    /// The member's own word, with etcd's code.
    #[error("{host} refused {call}: {text}")]
    Refused {
        host: String,
        call: &'static str,
        code: Code,
        text: String,
    },
    #[error("{host} answered {path} with status {status}: {text}")]
    Status {
        host: String,
        path: String,
        status: u16,
        text: String,
    },
    #[error("{host} answered {path} with what cannot be read: {reason}")]
    Malformed {
        host: String,
        path: String,
        reason: String,
    },
}

impl Error {
    /// Whether the member said this; a text of etcd's client interface.
    pub fn says(&self, words: &str) -> bool {
        matches!(self, Error::Refused { text, .. } if text.contains(words))
    }
}
