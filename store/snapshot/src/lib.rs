//! Backups in etcd's own form: a bbolt file that etcd's tools read, and reading one back.
//!
//! [`export`] writes a store into such a file, [`import`] makes a new store of one, [`status`]
//! says what is in one; [`trailer`] is the checksum a backup ends with. Mainstay keeps nothing in
//! this format: it is the way in from etcd and the way out to it, so what etcd 3.7.1 writes and
//! accepts is the rule for every row.
//!
//! A file comes from anywhere. Whatever is in it, reading ends with rows or with an error, in
//! bounded memory. This crate must not know gRPC, and decides nothing that members must agree on.
//! Read `README.md` for what is in a file, then `bbolt/reader.rs` and `export.rs`.

mod auth;
pub mod bbolt;
mod error;
mod etcd_log;
mod etcd_request;
mod export;
mod import;
mod member;
mod raft_state;
mod revision;
mod schema;
mod status;
pub mod trailer;

pub use auth::Auth;
pub use error::Error;
pub use etcd_log::{LogEntry, LogTail, read_log_tail};
pub use export::{Cancel, export};
pub use import::{Imported, Origin, auth, import, origin};
pub use status::{Status, status};
