//! The gRPC layer over HTTP/2: length-prefixed messages in, messages and trailers out, gzip.
//!
//! Our own instead of tonic's generated servers, because requests are half of what a put costs:
//! a request that came in one DATA frame is decoded from that frame's bytes, an answer is one
//! allocation, encoded events go out as they are, and the texts of refusals are grpc-go's. Codes
//! and statuses are tonic's types. It knows nothing of etcd.

mod answer;
mod body;
mod call;
mod gzip;
mod message;
mod request;

pub use answer::{encode, pack, refused, streamed, unary};
pub use body::{Body, MessageStream};
pub use call::{Call, Calls, MethodCounters, Tally};
pub use gzip::Coding;
pub use message::Messages;
pub use request::{Gone, RequestBody};

/// Bytes before each message: one of compression flag, four of length.
pub const PREFIX_BYTES: usize = 5;
