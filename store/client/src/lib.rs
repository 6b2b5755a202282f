//! A client for Mainstay and etcd, and controllers that watch their keys.
//!
//! A controller, of which ten lines are its own work and the rest says what it works on:
//!
//! ```no_run
#![doc = include_str!("../examples/controller.rs")]
//! ```
//!
//! This and every other program on these pages is a file of `examples/` as it stands, and runs
//! against the cluster that the environment names ([`Client::from_env`]):
//!
//! ```sh
//! MAINSTAY_ENDPOINTS=db-0:2379,db-1:2379,db-2:2379 cargo run -p mainstay-client --example watch
//! ```
//!
//! Beside this crate they use `tokio` with `macros` and `rt-multi-thread`, and `serde` with `derive`
//! for typed objects.
//!
//! Below the controller, each usable by itself:
//!
//! - [`Client`]: keys, transactions, leases, over endpoints of which some may be down. Every call has
//!   a deadline. A write whose answer is missing is [`Error::OutcomeUnknown`] and is not sent again.
//! - [`watch`]: what happens to keys, without a gap and without a repetition over connections that
//!   end; what is compacted meanwhile is [`Error::Compacted`].
//! - [`access`]: users, roles and what they may do.
//! - [`contend`]: locks and elections, on the keys that `etcdctl lock` and `etcdctl elect` use.
//! - [`reflector`]: a local copy of a range of keys.
//! - [`resource`]: typed objects over keys, with status, finalizers and compare-and-swap.
//! - [`controller`]: the queue and the loop.

pub mod access;
mod backoff;
mod calls;
mod client;
pub mod contend;
pub mod controller;
mod endpoint;
mod environment;
mod error;
mod keys;
pub mod kv;
mod lease;
pub mod reflector;
pub mod resource;
mod tls;
mod token;
mod verdict;
pub mod watch;

pub use client::{Builder, Client};
pub use error::Error;
pub use lease::Lease;
pub use mainstay_proto::etcdserverpb::compare::CompareResult;
pub use mainstay_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
pub use mainstay_proto::mvccpb::event::EventType;
pub use mainstay_proto::mvccpb::{Event, KeyValue};
pub use mainstay_transport::ClientFiles as TlsFiles;
pub use tls::TlsPem;
/// Of gRPC, as [`Error::code`] has it.
pub use tonic::Code;
