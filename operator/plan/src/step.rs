//! What a plan says: one step, the status, what to tell, and when to look again.

use std::time::Duration;

use mainstay_operator_api::MainstayClusterStatus;
use mainstay_operator_api::condition::Reason;

use crate::observed::{Leaf, Plane};
use crate::record::Record;

/// The outcome of a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// At most one step; the next pass follows at once when it succeeded.
    pub step: Option<Step>,
    /// Written if it differs from what is there.
    pub status: MainstayClusterStatus,
    /// Told once per transition.
    pub events: Vec<Event>,
    /// Look again after this time if nothing changes before.
    pub requeue: Duration,
}

/// One change. Each may be carried out twice: `act` looks before it adds, and names uids when it
/// deletes.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    AddFinalizer,
    /// Server-side apply. `Part::Workload` keeps the replicas that are there; if there is none, it
    /// is made with `Record::pods`.
    Apply(Vec<Part>),
    /// Writes the record and the intents that follow from it, together, with the resource version
    /// that was observed as precondition (or the condition that there is none).
    WriteRecord(Box<Record>),
    /// Patches `spec.replicas` of the StatefulSet.
    ScaleWorkload {
        replicas: u32,
    },
    /// Deletes the StatefulSet with this uid and leaves its pods; the next pass makes it anew with
    /// the present template of claims.
    RecreateWorkload {
        uid: String,
    },
    AddLearner {
        ordinal: u32,
        peer_url: String,
    },
    Promote {
        id: u64,
    },
    RemoveMember {
        id: u64,
    },
    MoveLeader {
        from: u64,
        to: u64,
    },
    /// With the uid as precondition.
    DeletePod {
        ordinal: u32,
        uid: String,
        /// Without grace: its node is gone.
        force: bool,
    },
    /// With the uid as precondition.
    DeleteVolume {
        ordinal: u32,
        uid: String,
    },
    /// With the uid as precondition; `to` in bytes.
    GrowVolume {
        ordinal: u32,
        uid: String,
        to: u64,
    },
    /// On the pods of these ordinals, so that the kubelet brings Secrets and intents up to date.
    AnnotatePods {
        ordinals: Vec<u32>,
        key: String,
        value: String,
    },
    Issue(TlsStep),
    /// Drops the history before this revision.
    Compact {
        revision: i64,
    },
    /// Lifts the NOSPACE alarm of the member.
    Disarm {
        id: u64,
    },
    /// Sets the password of `root` from the Secret and switches authentication on.
    EnableAuth,
    /// Sets the password of `root` from the Secret.
    SetRootPassword,
    /// Deletes the StatefulSet and its pods.
    DeleteWorkload {
        uid: String,
    },
    RemoveFinalizer,
}

/// Objects that `act` renders from the spec and the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    PeerService,
    ClientService,
    LeaderService,
    DisruptionBudget,
    /// Certificates that cert-manager shall issue; only if it is the source.
    Certificates,
    /// The StatefulSet.
    Workload,
}

/// A change to Secrets with certificates. Each writes one Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsStep {
    /// Makes the Secret `<c>-ca` or `<c>-peer-ca`, only if there is none. If certificates of the plane
    /// are there, the bundle also holds what they trust: a lost CA is followed with overlap.
    CreateCa(Plane),
    /// Issues a certificate by the signing CA and stores it with the CA's bundle.
    IssueLeaf(Leaf),
    /// Stores the CA's bundle with a certificate that stays.
    Distribute(Leaf),
    /// Makes the next CA beside the signing one, only if there is none, and trusts both.
    StageCa(Plane),
    /// Lets the next CA sign, which is no next one any more; both stay trusted.
    SwitchCa(Plane),
    /// Trusts the signing CA only.
    DropCa(Plane),
}

/// Something to tell as a Kubernetes Event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub warning: bool,
    pub reason: Reason,
    pub note: String,
}
