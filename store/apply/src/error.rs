//! Refusals of a command, and what stops a member.

/// Why a command was refused: the same answer on every member. The API turns each into etcd's
/// code and text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// `ignore_value` or `ignore_lease` on a key that does not exist, or an empty txn operation.
    #[error("key not found")]
    KeyNotFound,
    #[error("lease not found")]
    LeaseNotFound,
    #[error("lease exists already")]
    LeaseExists,
    #[error("lease ttl is too large")]
    TtlTooLarge,
    /// The quota is used up, or a NOSPACE alarm stands.
    #[error("no space left under the quota")]
    NoSpace,
    /// A CORRUPT alarm stands.
    #[error("store is marked corrupt")]
    Corrupt,
    #[error("revision has been compacted")]
    Compacted,
    #[error("revision is in the future")]
    FutureRevision,
    /// An alarm action that does not exist.
    #[error("alarm action is unknown")]
    UnknownAlarmAction,
    /// As many alarms stand as may.
    #[error("too many alarms")]
    TooManyAlarms,
    /// A txn nested deeper than [`crate::TXN_DEPTH_MAX`]; only from [`crate::encode`].
    #[error("txn is nested too deep")]
    TooDeep,
    /// Users and roles do not permit it, or cannot be changed so.
    #[error(transparent)]
    Auth(#[from] mainstay_auth::Error),
    /// Only from a read outside apply: the store could not be read. Apply itself stops.
    #[error("store failed: {0}")]
    Store(String),
}

/// Why a member cannot go on applying. It must stop; nothing may be skipped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("entry {index} cannot be decoded: {source}")]
    Undecodable {
        index: u64,
        source: prost::DecodeError,
    },
    #[error("entry {index} has format {format}, which this version does not understand")]
    UnknownFormat { index: u64, format: u32 },
    #[error("entry {index} holds a command that this version does not understand")]
    UnknownCommand { index: u64 },
    #[error("entry {index} does not follow the applied index {applied}")]
    Gap { index: u64, applied: u64 },
    #[error("applied state cannot be read: {what}")]
    State { what: String },
    #[error(transparent)]
    Store(#[from] mainstay_mvcc::Error),
    #[error(transparent)]
    Lease(mainstay_lease::Error),
}

/// How an apply ends early: with an answer for the client, or for good.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(ApplyError),
    Fatal(Error),
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Failure {
        Failure::Refused(error)
    }
}

impl From<mainstay_mvcc::Error> for Failure {
    fn from(error: mainstay_mvcc::Error) -> Failure {
        match error {
            mainstay_mvcc::Error::Compacted => Failure::Refused(ApplyError::Compacted),
            mainstay_mvcc::Error::FutureRevision => Failure::Refused(ApplyError::FutureRevision),
            mainstay_mvcc::Error::KeyNotFound => Failure::Refused(ApplyError::KeyNotFound),
            fatal => Failure::Fatal(Error::Store(fatal)),
        }
    }
}

impl From<mainstay_auth::Error> for Failure {
    fn from(error: mainstay_auth::Error) -> Failure {
        Failure::Refused(error.into())
    }
}

impl From<mainstay_lease::Error> for Failure {
    fn from(error: mainstay_lease::Error) -> Failure {
        match error {
            mainstay_lease::Error::TtlTooLarge => Failure::Refused(ApplyError::TtlTooLarge),
            mainstay_lease::Error::Exists => Failure::Refused(ApplyError::LeaseExists),
            mainstay_lease::Error::NotFound => Failure::Refused(ApplyError::LeaseNotFound),
            mainstay_lease::Error::Store(error) => Failure::Fatal(Error::Store(error)),
        }
    }
}

/// Separates what a client hears from what stops the member.
pub(crate) trait Refusable<T> {
    fn refused(self) -> Result<Result<T, ApplyError>, Error>;
}

impl<T> Refusable<T> for Result<T, Failure> {
    fn refused(self) -> Result<Result<T, ApplyError>, Error> {
        match self {
            Ok(value) => Ok(Ok(value)),
            Err(Failure::Refused(error)) => Ok(Err(error)),
            Err(Failure::Fatal(error)) => Err(error),
        }
    }
}
