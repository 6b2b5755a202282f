//! What can go wrong with a backup.

use std::io;

/// Every message is one line: the offline commands print it and exit.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is not what bbolt writes, or ends before it should.
    #[error("file is damaged: {0}")]
    Damaged(String),
    /// The file is whole, but holds what this version cannot take over.
    #[error("file cannot be taken over: {0}")]
    Unsupported(String),
    /// The file does not end with a checksum and the caller insists on one.
    #[error("snapshot missing hash but --skip-hash-check=false")]
    NoChecksum,
    #[error("expected sha256 {expected}, got {found}")]
    Checksum { expected: String, found: String },
    /// A key or value beyond what bbolt can hold.
    #[error("a {what} of {bytes} bytes is more than bbolt can hold")]
    TooLarge { what: &'static str, bytes: usize },
    /// Rows must be written in the order of their keys.
    #[error("rows are written out of order")]
    Order,
    /// Whoever wanted the backup has gone.
    #[error("backup was given up")]
    Cancelled,
    #[error(transparent)]
    Store(#[from] mainstay_mvcc::Error),
    #[error(transparent)]
    Apply(#[from] mainstay_apply::Error),
    #[error(transparent)]
    Lease(#[from] mainstay_lease::Error),
}

impl Error {
    pub(crate) fn damaged(what: impl Into<String>) -> Error {
        Error::Damaged(what.into())
    }
}
