//! Every way in which the log can fail, with the file and offset an operator needs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why an operation on the log failed. Clonable because one failed sync fails every waiter.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {op} {}: {source}", file.display())]
    Io {
        /// What was being done.
        op: &'static str,
        /// To which file or directory.
        file: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The disk is full or over quota (ENOSPC, EDQUOT).
    #[error("no space left for the raft log: cannot {op} {}: {source}", file.display())]
    NoSpace {
        /// What was being done.
        op: &'static str,
        /// To which file.
        file: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Bytes that were durable no longer match their checksum. The log is not opened, and nothing
    /// is cut: cutting could lose committed entries (Alagappan et al., FAST'18).
    #[error(
        "raft log is corrupt: {} at offset {offset}: expected checksum {expected:#010x}, \
         actual {actual:#010x}", file.display()
    )]
    Checksum {
        /// Segment file.
        file: PathBuf,
        /// Offset in bytes of the record or batch header that failed.
        offset: u64,
        /// The checksum stored on disk.
        expected: u32,
        /// The checksum of the bytes as they are now.
        actual: u32,
    },
    /// The checksum holds but the content cannot be: a gap, an unknown record, a missing file.
    #[error("raft log is corrupt: {} at offset {offset}: {what}", file.display())]
    Malformed {
        /// Segment file.
        file: PathBuf,
        /// Offset in bytes.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The segment was written by a version this program does not know.
    #[error(
        "{} has raft log format version {found}, this program reads version {supported}",
        file.display()
    )]
    Version {
        /// Segment file.
        file: PathBuf,
        /// The version byte found.
        found: u8,
        /// The only version read.
        supported: u8,
    },
    /// A segment file in the middle of the sequence is not there.
    #[error("raft log is corrupt: segment {} is missing", file.display())]
    MissingSegment {
        /// The file that should be there.
        file: PathBuf,
    },
    /// Entries must follow each other without a gap; truncate first, then append.
    #[error("cannot append entry {got} to the raft log: next index is {expected}")]
    Gap {
        /// The index that may follow.
        expected: u64,
        /// The index that was given.
        got: u64,
    },
    /// The index is already purged and so can be neither truncated nor rewritten.
    #[error("entry {index} of the raft log is below the purge point {purged}")]
    Purged {
        /// The index that was given.
        index: u64,
        /// Index of the newest purged entry.
        purged: u64,
    },
    /// A payload, vote or hint exceeds [`crate::RECORD_BYTES_MAX`].
    #[error("record of {bytes} bytes exceeds the limit of {max}")]
    TooLarge {
        /// Size that was given.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// An earlier write or sync failed. What is on disk is unknown (a failed fsync is not
    /// retried: the kernel may have dropped the pages), so the process must stop.
    #[error("raft log has stopped: {0}")]
    Poisoned(Arc<Error>),
    /// The writer thread is gone because a callback panicked.
    #[error("the thread that writes the raft log has panicked")]
    Panicked,
    /// The log was closed.
    #[error("raft log is closed")]
    Closed,
}

impl Error {
    /// Names the operation and file of a system error, and tells a full disk from the rest.
    pub(crate) fn io(op: &'static str, file: &Path, source: io::Error) -> Self {
        let full = matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        let (file, source) = (file.to_path_buf(), Arc::new(source));
        if full {
            Self::NoSpace { op, file, source }
        } else {
            Self::Io { op, file, source }
        }
    }

    /// Wraps the first failure for everyone who comes after it.
    pub(crate) fn poison(self) -> Self {
        match self {
            Self::Poisoned(_) => self,
            other => Self::Poisoned(Arc::new(other)),
        }
    }
}
