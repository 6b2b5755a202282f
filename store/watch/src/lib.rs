//! Fan-out of changes to watches: an event is encoded once, a watch is a cursor and not a queue.
//!
//! Apply publishes into the [`Hub`]: one encoding, one push to a ring bounded by bytes, one note to
//! each stream with a watch that matches. Everything else is work of the stream's own task, which
//! pulls ([`Stream::next`]): a slow client costs its cursor and a bounded batch, and never delays
//! apply. A cursor that has fallen out of the ring reads the history of the store.
//!
//! This crate must not know gRPC nor etcd's error texts (they come in as [`Reasons`]), and must
//! not block the caller of [`Hub::publish`]. Read `hub.rs` next, then `stream.rs`.

mod cohort;
mod control;
mod event;
mod history;
mod hub;
mod interval;
mod mailbox;
mod matcher;
mod options;
mod response;
mod ring;
mod stats;
mod stream;
mod todo;
mod watcher;

pub use control::{Control, StreamEnded};
pub use hub::Hub;
pub use options::{HeaderIds, HeaderSource, Options, Reasons};
pub use response::Frame;
pub use stats::Stats;
pub use stream::Stream;
