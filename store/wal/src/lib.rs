//! The raft log on disk: append-only segments, one writer thread, one fdatasync per batch.
//!
//! It keeps entries, the vote and two positions; it knows nothing of raft's rules, of what a
//! payload means, or of tonic, and takes no lock on its directory. It never returns bytes that
//! failed their checksum, and after a failed write or sync it stops for good.
//!
//! Read next: `README.md` for the format byte by byte, then `wal.rs`, `writer.rs`, `recovery.rs`.

pub mod storage;

mod batch;
mod bytes_at;
mod entry;
mod error;
mod index;
mod inspect;
mod options;
mod read;
mod record;
mod recovery;
mod replay;
mod segment;
mod segments;
mod shared;
mod spare;
mod tail;
mod view;
mod wal;
mod window;
mod writer;

pub use entry::{Cut, Done, Entry, EntryId, Recovery, State};
pub use error::Error;
pub use inspect::{Found, Seen, inspect, last_entry};
#[cfg(feature = "planted-faults")]
pub use options::Faults;
pub use options::{
    BATCH_BYTES_MAX, NoObserver, Observer, Options, QUEUE_BYTES_MAX, RECORD_BYTES_MAX,
    SEGMENT_BYTES, SEGMENT_BYTES_MAX, TAIL_BYTES_MAX,
};
pub use wal::Wal;
