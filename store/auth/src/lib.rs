//! Users, roles and what they permit (replicated), and the tokens of who has logged in (not).
//!
//! [`Registry`] is changed only by apply and decides alike on every member: it reads no clock, no
//! random number and nothing outside the store. A password comes hashed, by the member that took
//! it; a token comes as the hash of its secret, and [`Tokens`] keeps it in memory, with a deadline
//! that counts on this member alone. [`Auth`] is the handle that apply and the API share.
//!
//! Nothing here knows a clear password, gRPC, or how a request looks; which rights a request needs
//! `store/apply` says, in `authorize.rs`. Read `registry.rs` next, then `interval.rs`.

mod auth;
mod caller;
mod change;
mod error;
mod interval;
mod registry;
pub mod row;
mod tokens;

pub use auth::{Applying, Auth, Options};
pub use caller::Caller;
pub use error::Error;
pub use interval::{Interval, Union};
pub use registry::{Access, Registry, User};
pub use tokens::{Now, TOKENS_MAX, TokenHash, Tokens};

/// The user that alone may do everything, and the role that makes it so.
pub const ROOT: &str = "root";
