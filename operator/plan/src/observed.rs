//! What `operator/observe` has seen of one cluster. All of it may be old, except what says that it
//! is read from the members.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::{MainstayClusterSpec, MainstayClusterStatus};

use crate::record::Record;
use crate::step::Part;

/// One cluster as it was seen.
#[derive(Clone, Debug)]
pub struct Observed {
    pub now: Timestamp,
    pub cluster: Cluster,
    pub spec: MainstayClusterSpec,
    /// As last written.
    pub status: Option<MainstayClusterStatus>,
    /// `record.json` of the ConfigMap `<c>-members`; read from the API server, not from a cache.
    pub record: Option<Kept>,
    /// Rendered objects that are missing or differ. Never for the number of replicas, which has a
    /// step of its own, and never for the intents, which are written with the record.
    pub drift: Vec<Part>,
    pub workload: Option<Workload>,
    /// By ordinal; pods that are being deleted included.
    pub pods: BTreeMap<u32, Pod>,
    /// Claims named `data-<c>-<ordinal>`, by ordinal.
    pub volumes: BTreeMap<u32, Volume>,
    pub members: MemberView,
    /// What pods said on the port of metrics, by ordinal; no entry if a pod did not answer.
    pub probes: BTreeMap<u32, Probe>,
    pub tls: TlsView,
    pub auth: AuthView,
    /// The password in the Secret of `root`, if the record does not know it yet.
    pub password: Option<PasswordView>,
    pub restore: RestoreView,
    /// What is wrong around the cluster, as far as one can see without planning.
    pub problems: Vec<Problem>,
}

/// The record and the resource version of what holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub record: Record,
    pub version: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub generation: i64,
    pub deleting: bool,
    /// Whether our finalizer is on it.
    pub finalizer: bool,
    pub annotations: BTreeMap<String, String>,
}

impl Cluster {
    /// Name of the pod and of the member at `ordinal`.
    pub fn member(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.name)
    }

    /// Where the others reach the member at `ordinal`.
    pub fn peer_url(&self, ordinal: u32) -> String {
        let (name, namespace) = (&self.name, &self.namespace);
        format!("https://{name}-{ordinal}.{name}-peer.{namespace}.svc:2380")
    }
}

/// The StatefulSet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workload {
    pub uid: String,
    /// `spec.replicas`.
    pub replicas: u32,
    /// `status.updateRevision`; empty as long as the controller has not looked at the newest
    /// template (`status.observedGeneration` behind `metadata.generation`).
    pub update_revision: String,
    /// Bytes that the template of claims asks for.
    pub storage_request: u64,
    pub deleting: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    pub uid: String,
    /// Label `controller-revision-hash`.
    pub revision: String,
    pub phase: PodPhase,
    /// Condition Ready.
    pub ready: bool,
    pub deleting: bool,
    pub restarts: u32,
    /// Why the container waits, e.g. `CrashLoopBackOff`, or `Unschedulable`; none if it runs.
    pub waiting: Option<String>,
    /// Whether it ended last for lack of memory.
    pub out_of_memory: bool,
    /// Whether its node is gone or marked out of service.
    pub node_gone: bool,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Since when it is not ready; none if it is.
    pub unready_since: Option<Timestamp>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodPhase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

/// A claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volume {
    pub uid: String,
    /// Whether it is bound; false also for phase Lost.
    pub bound: bool,
    /// Phase Lost: what it was bound to is gone.
    pub lost: bool,
    /// Bytes that it asks for.
    pub request: u64,
    /// Bytes that it has.
    pub capacity: u64,
    pub deleting: bool,
}

/// What the members say of themselves, asked at this very pass.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberView {
    /// Nobody could be asked, or the answers contradict each other; with the reason.
    Unknown(String),
    Known(Members),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members {
    pub cluster_id: u64,
    /// Whether `list` is a linearizable read of this pass; else it is what one member believes.
    pub linearizable: bool,
    pub list: Vec<Member>,
    /// Answers to Status by member id; a member that did not answer has none.
    pub status: BTreeMap<u64, MemberStatus>,
}

/// One row of MemberList.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Member {
    pub id: u64,
    /// Empty as long as the member has not started.
    pub name: String,
    pub peer_urls: Vec<String>,
    pub client_urls: Vec<String>,
    pub learner: bool,
}

/// One answer to Status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberStatus {
    pub version: String,
    /// Member id of the leader that it follows; 0 for none.
    pub leader: u64,
    pub term: u64,
    pub applied: u64,
    /// Revision of its store.
    pub revision: i64,
    /// History before this revision is compacted; 0 if that is not known.
    pub compacted: i64,
    pub db_size: u64,
    pub db_size_in_use: u64,
    pub learner: bool,
    /// Alarms that it reports, of any member.
    pub alarms: Vec<Alarm>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// The member that it is about.
    pub member: u64,
    pub kind: AlarmKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlarmKind {
    NoSpace,
    Corrupt,
}

/// The answer of `/member`, and of `/readyz` where that is not ok.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probe {
    /// The pod that answered.
    pub pod_uid: String,
    pub id: u64,
    /// `leader`, `follower`, `learner` or `none`.
    pub role: String,
    pub term: u64,
    pub ready: bool,
    /// What `/readyz` gives as its reason.
    pub reason: Option<String>,
    /// How far the log on its disk reaches, if it says so without taking part.
    pub log: Option<LogEnd>,
}

/// Ordered as raft orders logs: by term, then by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogEnd {
    pub term: u64,
    pub index: u64,
}

impl Probe {
    /// The member has data and stands aside, as its intent says.
    pub fn is_held(&self) -> bool {
        self.says("the intent is to hold")
    }

    /// The member is known to the cluster and its directory is empty.
    pub fn has_lost_its_data(&self) -> bool {
        self.says("already been bootstrapped, but its data directory is empty")
    }

    /// The member's directory is empty and it looks for a cluster to join: for one that has voted,
    /// that is a loss.
    pub fn looks_for_a_cluster(&self) -> bool {
        self.says("cannot fetch cluster info from peer urls")
            || self.says("error validating peerURLs")
    }

    /// The snapshot that the member is to begin with is missing or damaged.
    pub fn cannot_restore(&self) -> bool {
        self.says("cannot be restored")
    }

    fn says(&self, words: &str) -> bool {
        let reason = self.reason.as_deref();
        !self.ready && reason.is_some_and(|reason| reason.contains(words))
    }
}

/// One of the two circles of trust.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// Between clients and members.
    Client,
    /// Among members.
    Peer,
}

impl Plane {
    pub const ALL: [Plane; 2] = [Plane::Client, Plane::Peer];
}

/// A certificate with its key in a Secret of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaf {
    /// `<c>-server-tls`: shown to clients.
    Server,
    /// `<c>-peer-tls`: shown to other members.
    Peer,
    /// `<c>-client-tls`: for people and their programs.
    Client,
    /// `<c>-operator-tls`: the operator's own.
    Operator,
}

impl Leaf {
    pub const ALL: [Leaf; 4] = [Leaf::Server, Leaf::Peer, Leaf::Client, Leaf::Operator];

    pub fn plane(self) -> Plane {
        match self {
            Leaf::Peer => Plane::Peer,
            Leaf::Server | Leaf::Client | Leaf::Operator => Plane::Client,
        }
    }

    /// Whether members load it; the others are read by whoever uses them.
    pub fn is_loaded_by_members(self) -> bool {
        matches!(self, Leaf::Server | Leaf::Peer)
    }
}

/// Certificates in Secrets, and those that the members have loaded. Fingerprints are SHA-256,
/// lower-case hexadecimal. Without CAs of the operator, `cas` is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsView {
    /// What is missing in Secrets that somebody else fills, for people.
    pub lacks: Option<String>,
    pub cas: BTreeMap<Plane, Authority>,
    pub leaves: BTreeMap<Leaf, Certificate>,
    /// By ordinal and plane, of pods that answered.
    pub loaded: BTreeMap<u32, BTreeMap<Plane, Loaded>>,
}

/// A CA Secret.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authority {
    /// What signs now (`tls.crt`).
    pub signing: CaCertificate,
    /// What shall sign next (`next.crt`), while a rotation is under way.
    pub next: Option<CaCertificate>,
    /// What `ca.crt` of the CA Secret trusts: the bundle that leaves shall carry.
    pub bundle: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaCertificate {
    pub fingerprint: String,
    pub not_after: Timestamp,
}

/// A leaf Secret.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Certificate {
    pub fingerprint: String,
    /// Fingerprint of the CA that signed it; empty if none of the bundle did.
    pub issuer: String,
    pub not_after: Timestamp,
    /// What its `ca.crt` trusts.
    pub bundle: BTreeSet<String>,
    /// Whether names of the spec are missing in it.
    pub lacks_names: bool,
}

/// What a member has loaded on one plane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    pub fingerprint: String,
    pub bundle: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthView {
    #[default]
    Unknown,
    Disabled,
    Enabled,
}

/// A password that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordView {
    /// Which state of the Secret it is from: nothing is told of the password itself.
    pub version: String,
    /// Whether the members know `root` by it.
    pub is_roots: bool,
}

/// The backup that `spec.bootstrap.restoreFrom` names.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RestoreView {
    /// None is named.
    #[default]
    None,
    /// It can be restored; the text is what `act` needs to find it, kept in the record.
    Ready(String),
    /// It cannot, for this reason.
    Missing(String),
}

/// Something that is wrong around the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub reason: Reason,
    /// What is wrong and what to do, for people.
    pub message: String,
}
