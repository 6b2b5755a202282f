//! Certificates that the operator makes itself: two authorities for each cluster, one for clients
//! and one for members, and what they sign.
//!
//! When to make and when to drop one is the planner's; here is how.

mod bundle;
mod issue;
mod names;
mod wishes;

pub use bundle::{Known, bundle, is_signed_by, known};
pub use issue::{Pair, Purpose, Request, authority, leaf};
pub use names::Place;
pub use wishes::{ROOT, ca_secret, leaf_secret, request};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("{0} holds no certificate that can be read")]
    Unreadable(String),
}

#[cfg(test)]
mod tests;
