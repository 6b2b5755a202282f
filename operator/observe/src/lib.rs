//! What is: Kubernetes objects and the members' own word, put together for the planner.
//!
//! Only reads. What cannot be seen is said to be unknown, never guessed. Follow [`observe`]: objects
//! (`objects.rs`), then the members that run in them (`members.rs`), then each part of the picture.

mod certificates;
pub mod login;
mod members;
pub mod objects;
mod pods;
mod problems;
mod restore;
mod view;
mod volumes;

pub use view::{Seen, Source, observe};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{kind} cannot be read: {source}")]
    Read {
        kind: String,
        source: Box<kube::Error>,
    },
    /// A later version may have written it; nothing is done until it can be read.
    #[error("the record of the cluster cannot be read: {0}")]
    Record(String),
}
