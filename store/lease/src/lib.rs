//! Leases: what is granted and which keys hang on it (replicated), and when one runs out (not).
//!
//! [`Lessor`] is changed only by apply and decides alike on every member: it reads no clock, no
//! random number and nothing outside the store. [`Clock`] keeps the deadlines, outside apply, and
//! counts only on the member that leads. [`Leases`] is the handle both sides share.
//!
//! Nothing here revokes by itself: an expired id becomes a revoke entry of the leader, and only
//! that entry, applied, takes the lease away. Read `lessor.rs` next, then `clock.rs`.

mod clock;
mod error;
mod leases;
mod lessor;
pub mod row;

pub use clock::{Clock, Renewal};
pub use error::Error;
pub use leases::{Applying, Leases, Options};
pub use lessor::{Lessor, TTL_MAX_SECONDS};
