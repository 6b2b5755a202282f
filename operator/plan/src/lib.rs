//! From what is observed to one step: every safety rule of the operator, and nothing else.
//!
//! `plan` is a function: no client, no clock, no chance, no memory. It looks at an [`Observed`]
//! and answers with at most one [`Step`], the status to write and when to look again. What it must
//! remember it writes into the [`Record`] first, by a step of its own; so a crash between any two
//! steps is resumed, not guessed.
//!
//! Read next: `observed.rs`, `record.rs` and `step.rs` for the seam with `operator/observe` and
//! `operator/act`; `decide.rs` for the order of priority; `view.rs` for the questions that every
//! room asks; then the room of your story.

pub mod disruption;
pub mod observed;
pub mod record;
pub mod step;

mod alarm;
pub mod auth;
mod base;
mod bootstrap;
mod certificate;
mod change;
mod condition;
mod decide;
mod deletion;
mod event;
mod failure;
mod fault;
mod finding;
mod held;
mod hibernation;
mod leader;
mod ledger;
mod plan;
mod quorum;
mod recovery;
mod roll;
mod rotation;
mod scale;
#[cfg(test)]
mod simulated;
mod status;
mod verdict;
mod version;
mod view;
mod volume;

pub use observed::Observed;
pub use plan::plan;
pub use record::Record;
pub use step::{Plan, Step};
