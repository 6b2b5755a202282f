//! What can go wrong in the store.

/// Failures of a read or a write. The first three are answers to a client, the others mean that
/// the disk or the store cannot be trusted and the member has to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The revision asked for is below the compact revision.
    #[error("revision has been compacted")]
    Compacted,
    /// The revision asked for has not happened yet.
    #[error("revision is in the future")]
    FutureRevision,
    /// The key does not exist; only for operations that need one.
    #[error("key not found")]
    KeyNotFound,
    /// A record that must exist is missing, or one that exists makes no sense.
    #[error("store is corrupt: {what}")]
    Corrupt { what: String },
    /// An earlier commit failed: what reached the disk is unknown until the store is opened again.
    #[error("an earlier commit failed, the store takes no more writes")]
    Failed,
    /// RocksDB refused; after a background error every write ends here.
    #[error("rocksdb: {0}")]
    Rocks(#[from] rocksdb::Error),
    #[error("file of the store: {0}")]
    Io(#[from] std::io::Error),
}

impl Error {
    pub(crate) fn corrupt(what: impl Into<String>) -> Error {
        Error::Corrupt { what: what.into() }
    }

    /// Whether a client caused it; anything else must stop the member.
    pub fn is_answer(&self) -> bool {
        matches!(
            self,
            Error::Compacted | Error::FutureRevision | Error::KeyNotFound
        )
    }
}
