//! What the operator says to a member and hears from it: etcd's API over TLS ([`Member`]), and the
//! plain port for probes ([`plain`]).
//!
//! Every call has a deadline. It decides nothing: an answer is handed on, and so is its absence.

mod calls;
mod connect;
mod error;
pub mod loaded;
pub mod plain;
pub mod roles;

pub use calls::{Member, NOT_IN_SYNC, UNSETTLED};
pub use connect::{Address, Credentials};
pub use error::Error;
pub use mainstay_proto::etcdserverpb as pb;
