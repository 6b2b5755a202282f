//! What a grant or a revoke can be refused for.

/// The first three are answers to a client; a store error stops the member.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More than [`crate::TTL_MAX_SECONDS`]; looked at before the id.
    #[error("lease ttl is too large")]
    TtlTooLarge,
    /// The id is taken, or 0, which no lease may have.
    #[error("lease exists already")]
    Exists,
    #[error("lease not found")]
    NotFound,
    #[error(transparent)]
    Store(#[from] mainstay_mvcc::Error),
}

impl Error {
    pub(crate) fn corrupt(what: String) -> Error {
        Error::Store(mainstay_mvcc::Error::Corrupt { what })
    }
}
