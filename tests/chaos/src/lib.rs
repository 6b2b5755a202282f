//! Faults on real processes: starts members, loads them with clients whose every call is written
//! down, kills, stops and unplugs them, and lets `tests/model` judge what the clients saw.
//!
//! It must not know how the server is built: it starts a binary with etcd's flags and speaks
//! etcd's API, so the same scenarios run against etcd itself, which proves the harness. Nothing
//! here retries a request: an answer that got lost is recorded as lost.
//!
//! Read next: [`session`] for the shape of a run, [`faults`] for what is injected, [`disk`] for
//! how a power cut is made, [`scenario`] for the runs themselves.

pub mod bulk;
pub mod call;
pub mod client;
pub mod cluster;
pub mod collector;
pub mod connection;
pub mod convert;
pub mod disk;
pub mod faults;
pub mod lease_load;
pub mod load;
pub mod member;
pub mod options;
pub mod process;
pub mod recorder;
pub mod scenario;
pub mod session;
pub mod tally;
pub mod verdict;
pub mod watching;
