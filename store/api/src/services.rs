//! The RPCs, one file a service. A handler gets a decoded request of an admitted call; it checks,
//! proposes or reads, and fills in the header.

pub mod auth;
pub mod cluster;
pub mod downgrade;
pub mod election;
pub mod health;
pub mod kv;
pub mod lease;
pub mod lock;
pub mod maintenance;
pub mod reflection;
pub mod snapshot;
pub mod watch;

mod contest;
mod key_watch;
mod leader;
mod list;
mod read_txn;
mod stream;
mod watch_rights;
