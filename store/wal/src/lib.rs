//! The raft log on disk: append-only segments, one writer thread, one fdatasync per batch.
//!
//! It keeps entries, the vote and two positions; it knows nothing of raft's rules, of what a
//! payload means, or of tonic, and takes no lock on its directory. It never returns bytes that
//! failed their checksum, and after a failed write or sync it stops for good.
//!
//! Read next: `README.md` for the format byte by byte, then `wal.rs`, `writer.rs`, `recovery.rs`.

pub mod storage;

mod entry;
mod error;
mod options;
mod wal;

pub use entry::{Cut, Done, Entry, EntryId, Recovery, State};
pub use error::Error;
#[cfg(feature = "planted-faults")]
pub use options::Faults;
pub use options::{
    BATCH_BYTES_MAX, NoObserver, Observer, Options, QUEUE_BYTES_MAX, RECORD_BYTES_MAX,
    SEGMENT_BYTES, TAIL_BYTES_MAX,
};
pub use wal::Wal;
