//! What a member is started with, after flags and environment have been read and checked. Nothing
//! here is a string that still has to be understood.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mainstay_raft::MemberPolicy;
use mainstay_transport::{ClientFiles, Files, Policy};

/// Defaults that the offline commands share with the flags of a member.
pub const DEFAULT_NAME: &str = "default";
pub const DEFAULT_INITIAL_CLUSTER: &str = "default=http://localhost:2380";
pub const DEFAULT_TOKEN: &str = "etcd-cluster";
pub const DEFAULT_PEER_URL: &str = "http://localhost:2380";

#[derive(Clone, Debug)]
pub struct Settings {
    pub name: String,
    pub data_dir: PathBuf,
    /// The raft log's directory, where it is not inside `data_dir`.
    pub wal_dir: Option<PathBuf>,
    pub listen_client: Vec<ListenUrl>,
    /// For all that is not gRPC; with none, it comes in by `listen_client` too.
    pub listen_client_http: Vec<ListenUrl>,
    pub listen_peer: Vec<ListenUrl>,
    /// Listeners for metrics and health only.
    pub listen_metrics: Vec<ListenUrl>,
    /// There if any URL of the side is https.
    pub client_tls: Option<TlsSettings>,
    pub peer_tls: Option<TlsSettings>,
    pub advertise_client_urls: Vec<String>,
    /// Names with their peer URLs; of use only while the data directory is empty.
    pub initial_cluster: Vec<(String, Vec<String>)>,
    pub initial_cluster_token: String,
    /// `--initial-cluster-state=existing`: an empty directory joins a running cluster.
    pub join: bool,
    /// Where the initial cluster is to be asked for, if it is not given.
    pub discovery: Option<Discovery>,
    pub members: MemberPolicy,
    /// Offline surgery: the member goes on as a cluster of its own.
    pub force_new_cluster: bool,
    /// A file in which an operator says what this member is to be.
    pub intent_file: Option<PathBuf>,
    pub heartbeat: Duration,
    pub election_timeout: Duration,
    pub pre_vote: bool,
    /// As given: 0 is the default of 2 GiB, less than 0 is no quota.
    pub quota_backend_bytes: i64,
    pub max_request_bytes: usize,
    pub max_txn_ops: usize,
    pub max_concurrent_streams: u32,
    pub keepalive: Keepalive,
    /// Entries applied between two forced flushes of the store.
    pub snapshot_count: u64,
    pub catchup_entries: u64,
    pub auto_compaction: AutoCompaction,
    pub corruption: CorruptionChecks,
    pub watch_progress_interval: Duration,
    pub metrics_extensive: bool,
    /// Web pages and host names that HTTP is answered for.
    pub access: mainstay_api::Access,
    /// How clients log in, and how long a simple token lasts after its last use.
    pub logins: mainstay_api::LoginSettings,
    pub token_ttl: Duration,
    /// Test clusters only: the log is not synced, so an acknowledged write may be lost.
    pub unsafe_no_fsync: bool,
    pub log: LogSettings,
    /// Set where spans of calls are exported.
    pub tracing: Option<Tracing>,
}

/// Where spans go, and how many.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// Host and port of the collector.
    pub address: String,
    pub service_name: String,
    pub instance_id: Option<String>,
    /// The part of new traces that is sampled, 0 to 1; a trace that is continued was judged where it
    /// began.
    pub sampling_rate: f64,
}

/// Who is asked for the initial cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// SRV records of a domain, for a service name that may have a suffix.
    Srv { domain: String, suffix: String },
    /// Another cluster that keeps the list of members.
    Registry(Registry),
}

#[derive(Clone, PartialEq, Eq)]
pub struct Registry {
    /// URLs, all http or all https.
    pub endpoints: Vec<String>,
    /// There if they are https.
    pub tls: Option<ClientFiles>,
    pub token: String,
    pub dial_timeout: Duration,
    pub request_timeout: Duration,
    /// Name and password.
    pub login: Option<(String, String)>,
}

impl std::fmt::Debug for Registry {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("endpoints", &self.endpoints)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// Where to listen, and whether TLS is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenUrl {
    pub address: SocketAddr,
    pub tls: bool,
}

/// TLS of one side.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    pub certificate: TlsCertificate,
    pub policy: Policy,
}

#[derive(Clone, Debug)]
pub enum TlsCertificate {
    Files(Files),
    /// The member makes one at its first start.
    SelfSigned {
        years: u32,
    },
}

/// gRPC keepalive on client connections.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// Between two pings of a client.
    pub min_time: Duration,
    /// Between two pings of ours, and the wait for their answers.
    pub interval: Duration,
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    Off,
    /// Keep what is younger than this.
    Periodic(Duration),
    /// Keep this many revisions.
    Revisions(i64),
}

/// When members are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorruptionChecks {
    pub at_start: bool,
    /// All keys, by the leader.
    pub every: Option<Duration>,
    /// What compactions left, by the leader.
    pub after_compaction: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `debug`, `info`, `warn` or `error`, as `tracing` reads them.
    pub level: String,
    pub outputs: Vec<LogOutput>,
    pub json: bool,
    /// Set where the one file of the outputs is put aside when it is full.
    pub rotation: Option<Rotation>,
    /// What flags and environment hold that has no effect; told once there is a log.
    pub warnings: Vec<String>,
}

/// When a log file is put aside, and what becomes of it then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    pub max_bytes: u64,
    /// Older ones are deleted.
    pub max_age: Option<Duration>,
    /// More are deleted, the oldest first.
    pub max_backups: Option<usize>,
    /// The time in their names is the machine's, and not UTC.
    pub local_time: bool,
    pub compress: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    Stderr,
    Stdout,
    File(PathBuf),
}
