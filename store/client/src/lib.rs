//! A client for Mainstay and etcd, and controllers that watch their keys.
//!
//! A controller in ten lines: people write how many workers they want under `fleet/workers/`, and this
//! sees to it whenever somebody does.
//!
//! ```no_run
//! use std::sync::Arc;
//! use mainstay_client::{Client, Error, controller::{Action, Controller}, resource::{Json, Object, Resource}};
//!
//! #[derive(Clone, serde::Serialize, serde::Deserialize)]
//! struct Workers { count: u32 }
//! impl Resource for Workers {
//!     const KIND: &'static str = "fleet/workers";
//!     type Status = ();
//!     type Format = Json;
//! }
//!
//! # #[tokio::main] async fn main() -> Result<(), Error> {
//! let client = Client::builder().endpoint("127.0.0.1:2379").build()?;
//! let reconcile = |workers: Arc<Object<Workers>>, _: Arc<()>| async move {
//!     println!("{} wants {}", workers.name, workers.spec.count);
//!     Ok::<_, Error>(Action::AwaitChange)
//! };
//! let again = |_: Arc<Object<Workers>>, _: &Error, _: Arc<()>| Action::BackOff;
//! Controller::new(client.resources::<Workers>()).run(reconcile, again, Arc::new(())).await
//! # }
//! ```
//!
//! Below it, each usable by itself:
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
