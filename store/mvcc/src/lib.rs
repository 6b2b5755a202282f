//! Revisions on RocksDB: what every key was at every revision that is not compacted.
//!
//! [`Store`] reads from any thread; [`Writer`], of which there is one, writes in batches that
//! become visible whole. The raft log is the write-ahead log: nothing here is durable before a
//! flush, and [`Store::flushed_applied`] tells how far a flush has come.
//!
//! This crate must not know gRPC, must not read a clock, a random number or the environment, and
//! touches no file outside its own directory: equal batches give equal stores on every member.
//! The format on disk is in `store/mvcc/README.md`; read `batch.rs` next, then `reader.rs`.

mod accounting;
mod backend_row;
mod batch;
mod compaction;
mod db;
mod directory;
mod error;
mod frozen;
mod hash;
mod history;
mod index;
mod inspect;
mod load;
mod mutation;
mod open;
mod pending;
mod range;
mod reader;
mod record;
mod revision;
mod schema;
mod snapshot;
mod state;
mod stats;
mod store;
mod varint;
mod view;

pub use batch::{Batch, Writer};
pub use error::Error;
pub use frozen::Frozen;
pub use hash::HashKv;
pub use history::Change;
pub use inspect::{Inspector, Seen};
pub use load::{Loaded, Loader, Write};
pub use mutation::Mutation;
pub use range::RangeResult;
pub use snapshot::{SnapshotFile, SnapshotInfo, install};
pub use stats::{Size, Stats};
pub use store::{KeyMeta, Options, Store};
pub use view::View;
