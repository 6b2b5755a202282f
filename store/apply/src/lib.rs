//! One entry, applied once, in order, with its index, in one commit.
//!
//! [`Applier`] takes committed entries from raft, turns each command into writes of one mvcc batch
//! for all of them, commits it together with the applied position, then publishes: watchers, the
//! [`View`], and last the [`Waiters`] of the requests this member took.
//!
//! Everything here must decide alike on every member: no clock, no random number, no environment,
//! no file. What a client may ask is checked before the proposal, in `store/api`; an entry that
//! slipped through must still not panic. An entry that is not understood is never skipped: it
//! stops the member. Read `applier.rs` next, then `txn.rs`.

mod alarm;
mod applier;
mod auth;
mod authorize;
mod compact;
mod compare;
mod context;
mod delete;
mod entry;
mod error;
mod lease;
mod outcome;
mod publish;
mod put;
mod quota;
mod read;
pub mod rows;
mod state;
mod txn;
mod view;
mod waiters;

pub use applier::{Applier, ApplyOptions};
pub use authorize::{Gate, LeaseKeys};
pub use entry::{AppliedEntry, Decoded, EntryPayload, FORMAT, TXN_DEPTH_MAX, encode, understands};
pub use error::{ApplyError, Error};
pub use outcome::{Outcome, Reply};
pub use quota::cost;
pub use read::{is_read_only, range_response, read_txn};
pub use state::{AppliedState, LogPosition};
pub use view::{Attributes, View};
pub use waiters::Waiters;
