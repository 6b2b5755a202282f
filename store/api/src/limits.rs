//! Every limit of the client side of the server, in one place.

use std::time::Duration;

/// Bytes a gRPC message may have above `--max-request-bytes` before the transport refuses it
/// (etcd: `grpcOverheadBytes`).
pub const GRPC_OVERHEAD_BYTES: usize = 512 * 1024;

/// Bytes etcd's marshalled proposal adds to the request it carries, at most: two bytes of tag and
/// one of length for its header, one of tag and ten of varint for the request id. Counted so that
/// the largest accepted value is etcd's: 1 572 839 bytes under a one-byte key.
pub const PROPOSAL_OVERHEAD_BYTES: usize = 14;

/// Reads of many records running at once, off the thread that carries raft. More wait their turn.
pub const SCANS_AT_ONCE: usize = 4;

/// A list of at most this many keys is read where it stands: handing it to another thread would
/// cost more than reading it.
pub const INLINE_LIST_KEYS: i64 = 8;

/// Backups being written or sent at once, each with a file on the disk. More wait their turn.
pub const SNAPSHOTS_AT_ONCE: usize = 2;

/// Bytes of a backup in one message (etcd).
pub const SNAPSHOT_BLOB_BYTES: usize = 32 * 1024;

/// Bytes of a backup read at once, all that sending one of any size keeps in memory.
pub const SNAPSHOT_READ_BYTES: usize = 32 * SNAPSHOT_BLOB_BYTES;

/// Bytes that a backup leaves free on the disk: a log that finds no room stops the member.
pub const SNAPSHOT_SPARE_BYTES: u64 = 256 << 20;

/// Passwords that wait to be hashed or are being hashed. At ten a second for each place more would
/// wait longer than a request may.
pub const HASHES_WAITING: usize = 128;

/// Bytes of the longest password, above which none is looked at.
pub const PASSWORD_BYTES: usize = 512;

/// Users at an address whose failed log-ins are counted, and those known to have got in.
pub const THROTTLED_PAIRS: usize = 10_000;
pub const TRUSTED_PAIRS: usize = 10_000;

/// Keys in the first chunk of a RangeStream (etcd).
pub const STREAM_FIRST_CHUNK_KEYS: usize = 10;

/// Bytes of small stream messages put together into one DATA frame.
pub const COALESCE_BYTES: usize = 16 * 1024;

/// A stream message of at least this size is sent without being copied.
pub const UNCOPIED_BYTES: usize = 4 * 1024;

/// HTTP/2 receive window of one stream.
pub const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// HTTP/2 receive window of one connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// Bytes of one stream that may wait in the server's send buffer.
pub const SEND_BUFFER_BYTES: usize = 512 * 1024;

/// Streams of one connection that may be reset before they were accepted; more end the connection
/// (CVE-2023-44487). h2's own 20 is soon passed by a member that was paused while its clients
/// gave up.
pub const PENDING_RESETS: usize = 1024;

/// Bytes of request headers of one HTTP/2 request.
pub const HEADER_LIST_BYTES: u32 = 64 * 1024;

/// Bytes an HTTP/1 connection may buffer for a request head.
pub const HTTP1_BUFFER_BYTES: usize = 64 * 1024;

/// JSON may be this many times as long as the largest gRPC message: base64 alone makes four bytes
/// of three, and names and white space come on top. What it holds is then held to that limit too.
pub const JSON_GROWTH: usize = 4;

/// JSON or a message of at most this many bytes is converted where it stands.
pub const INLINE_JSON_BYTES: usize = 16 * 1024;

/// Values of `client-api-version` that get a time series of their own; others share `other`.
pub const CLIENT_VERSIONS: usize = 16;

/// A stream that asked for a leader ends after this many election timeouts without one (etcd).
pub const LEADERLESS_TICKS: u32 = 3;

/// What `--max-request-bytes`, `--max-txn-ops` and the raft timing make of the limits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `--max-request-bytes`: bytes of a marshalled proposal.
    pub request_bytes: usize,
    /// `--max-txn-ops`: compares or operations in one list of a txn.
    pub txn_ops: usize,
    /// `--election-timeout`.
    pub election_timeout: Duration,
    /// `--max-concurrent-streams` of one connection.
    pub concurrent_streams: u32,
    /// `--grpc-keepalive-min-time`: a client that pings more often is told to go. Zero is five minutes
    /// (grpc-go).
    pub keepalive_min_time: Duration,
    /// `--grpc-keepalive-interval`; zero sends no pings.
    pub keepalive_interval: Duration,
    /// `--grpc-keepalive-timeout`.
    pub keepalive_timeout: Duration,
}

impl Limits {
    /// The longest a request waits for consensus: five seconds for disks and queues and two
    /// elections (etcd: `ReqTimeout`).
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election_timeout
    }

    /// The largest gRPC message received.
    pub fn message_bytes(&self) -> usize {
        self.request_bytes.saturating_add(GRPC_OVERHEAD_BYTES)
    }

    /// The longest JSON object received, in bytes of its text.
    pub fn json_bytes(&self) -> usize {
        self.message_bytes().saturating_mul(JSON_GROWTH)
    }

    /// Whether a request of `encoded` bytes makes a proposal above `--max-request-bytes`.
    pub fn too_large(&self, encoded: usize) -> bool {
        let field = 1 + prost::length_delimiter_len(encoded) + encoded;
        field.saturating_add(PROPOSAL_OVERHEAD_BYTES) > self.request_bytes
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_bytes: 1_572_864,
            txn_ops: 128,
            election_timeout: Duration::from_secs(1),
            concurrent_streams: u32::MAX,
            keepalive_min_time: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(2 * 60 * 60),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use mainstay_proto::etcdserverpb::PutRequest;

    use super::*;

    #[test]
    fn largest_value_is_etcds() {
        let limits = Limits::default();
        let put = |bytes: usize| PutRequest {
            key: "k".into(),
            value: vec![0; bytes].into(),
            ..Default::default()
        };
        assert!(!limits.too_large(put(1_572_839).encoded_len()));
        assert!(limits.too_large(put(1_572_840).encoded_len()));
    }

    #[test]
    fn defaults_are_etcds() {
        let limits = Limits::default();
        assert_eq!(limits.request_timeout(), Duration::from_secs(7));
        assert_eq!(limits.message_bytes(), 2_097_152);
    }
}
