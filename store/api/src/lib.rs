//! The client side of the server: etcd's gRPC API and the HTTP paths beside it, on one port.
//!
//! A request comes in at [`Api`], is dispatched by its path through the table of rights, checked,
//! and becomes a proposal (`store/raft`) or a read of the local store (`store/mvcc`). This crate
//! alone knows gRPC codes and etcd's error texts. It must not decide what a command does: that is
//! apply's, alike on every member.
//!
//! Read `dispatch.rs` next, then `services/kv.rs` and `error.rs`. What differs from etcd on
//! purpose, and what is not there yet, is in `store/api/README.md`.

mod access;
mod check;
mod context;
mod dispatch;
mod error;
mod gateway;
mod grpc;
mod header;
mod http;
mod limits;
mod logins;
mod metadata;
mod metrics;
mod pings;
pub mod rights;
mod serve;
mod services;
mod spans;
mod waiting;

pub use access::{Access, Listed};
pub use context::{CLUSTER_VERSION, Context, Parts, SERVER_VERSION, STORAGE_VERSION};
pub use error::Error;
pub use grpc::Body;
pub use http::{Listener, Serves};
pub use limits::Limits;
pub use logins::{Jwt, JwtError, LoginSettings, PasswordHash, SIGN_METHODS, TokenKind};
pub use metrics::Disk;
pub use serve::{Api, Connection, Origin};
pub use services::maintenance::alarm_name;
pub use services::watch::reasons as watch_reasons;
pub use spans::Spans;
pub use waiting::{Kept, Waiting, serve_waiting};
