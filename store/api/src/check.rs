//! Checks of a request that need nothing but the request: keys, enums, counts, duplicates.
//!
//! They run before anything is proposed or read, on both branches of a txn, and in etcd's order,
//! because a request with two faults must be answered with the same one.

mod delete;
mod overlap;
mod peer_urls;
mod put;
mod range;
mod txn;

pub use delete::delete_range;
pub use peer_urls::peer_urls;
pub use put::put;
pub use range::{range, range_stream};
pub use txn::txn;
