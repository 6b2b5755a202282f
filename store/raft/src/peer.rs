//! Members talking to each other: frames, the connections that carry them, and the listener's
//! side. What the messages mean is decided in `network` (asking) and `handler` (answering).

pub mod call;
pub mod dial;
pub mod frame;
pub mod listen;
pub mod reach;
pub mod serve;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Why a question to another member got no answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("member {member:x} cannot be reached: {source}")]
    Unreachable { member: u64, source: io::Error },
    #[error("connection to member {member:x} was lost before the answer")]
    Lost { member: u64 },
    #[error("member {member:x} did not answer in time")]
    Timeout { member: u64 },
    #[error("answer of member {member:x} does not decode: {source}")]
    Decode {
        member: u64,
        source: prost::DecodeError,
    },
}

impl PeerError {
    /// Nothing was sent, so whatever was asked has certainly not happened.
    pub fn never_sent(&self) -> bool {
        matches!(self, PeerError::Unreachable { .. })
    }
}

/// When the last append was sent that a member has taken from this one as its leader.
pub type Acked = Arc<Mutex<Option<Instant>>>;

/// Bytes and failures of the traffic with one member, for the metrics page.
#[derive(Debug, Default)]
pub struct Traffic {
    pub sent_bytes: AtomicU64,
    pub received_bytes: AtomicU64,
    pub sent_failures: AtomicU64,
    acked: Acked,
    /// Snapshots on their way to the member, or being installed there.
    pub snapshots: AtomicU64,
    /// Round trips of control questions, in microseconds: sum and count.
    pub round_trip_micros: AtomicU64,
    pub round_trips: AtomicU64,
    /// How many took at most so long, by bounds that double from [`ROUND_TRIP_BOUND_MICROS`] on;
    /// what took longer than the last bound is in none.
    pub round_trip_buckets: [AtomicU64; ROUND_TRIP_BUCKETS],
}

/// The first bound of `etcd_network_peer_round_trip_time_seconds`, and how many there are.
pub const ROUND_TRIP_BOUND_MICROS: u64 = 100;
pub const ROUND_TRIP_BUCKETS: usize = 16;

pub type SharedTraffic = Arc<Traffic>;

impl Traffic {
    pub fn noting(acked: Acked) -> Traffic {
        Traffic {
            acked,
            ..Traffic::default()
        }
    }

    pub fn sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn received(&self, bytes: usize) {
        self.received_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn round_trip(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.round_trip_micros.fetch_add(micros, Ordering::Relaxed);
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let mut bound = ROUND_TRIP_BOUND_MICROS;
        for bucket in &self.round_trip_buckets {
            if micros <= bound {
                bucket.fetch_add(1, Ordering::Relaxed);
                return;
            }
            bound *= 2;
        }
    }

    /// The member has taken an append that was sent at `sent`.
    pub fn acked(&self, sent: Instant) {
        let mut acked = self.acked.lock();
        *acked = (*acked).max(Some(sent));
    }

    pub fn failed(&self) {
        self.sent_failures.fetch_add(1, Ordering::Relaxed);
    }
}
