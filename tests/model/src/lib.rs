//! The reference against which a run of the store is judged: a history of what clients asked and
//! saw, a sequential model of the key space, and the checkers that compare the two.
//!
//! It must not talk to a server, read a clock or a random number, or write a file: whoever drives
//! real processes (`tests/chaos`) hands a [`History`] in and gets [`Violation`]s back, so that a
//! saved history gives the same verdict on any machine and any day.
//!
//! Read next: [`history`] for what is recorded, [`guided`] for the main checker, [`wgl`] for the
//! independent one, [`watch`] and [`lease`] for the guarantees beside linearizability.

pub mod guided;
pub mod history;
pub mod key_value;
pub mod lease;
pub mod ownership;
pub mod real_time;
pub mod request;
pub mod response;
pub mod state;
pub mod timeline;
pub mod violation;
pub mod watch;
pub mod wgl;

#[cfg(test)]
mod samples;

pub use history::{Fault, History, MemberLog, Operation, Record, WatchReply, Watcher};
pub use key_value::{Event, EventKind, KeyValue};
pub use request::{Compare, Relation, Request, Target};
pub use response::{Body, Outcome, Response};
pub use state::State;
pub use timeline::Timeline;
pub use violation::{Rule, Violation};
