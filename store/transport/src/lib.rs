//! Connections to and from a member: TLS on every listener and dialler, and the names they dial.
//!
//! One [`Tls`] stands for the flags of one side, `client` or `peer`: it reads certificate, key, CA
//! bundle and revocation list, reads them again when they change, and hands out what a handshake
//! needs. What it knows of the other side comes from the handshake and from nowhere else. Follow an
//! accepted connection through `accept`, a dialled one through `connect`, a rotation through
//! `reload`.
//!
//! It must not know what the bytes inside a connection mean.

mod accept;
mod auto;
mod certificate;
mod client;
mod connect;
mod error;
mod guarded;
mod handshakes;
mod material;
mod policy;
mod reload;
mod resolver;
mod session;
mod tls;
mod verifier;

pub use accept::Accepted;
pub use auto::self_signed;
pub use certificate::{Certificate, Loaded, Role};
pub use client::{ClientFiles, ClientTls};
pub use error::{Error, Refused, bottom};
pub use guarded::Guarded;
pub use material::Files;
pub use policy::{CIPHER_SUITES, Policy, Version};
pub use reload::RELOAD_INTERVAL;
pub use resolver::{ResolveError, Resolver};
pub use tls::{Side, Tls};
