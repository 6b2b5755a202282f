//! Conditions of a cluster and the reasons they carry. Each reason has a line in
//! `operator/README.md` that says what to do; a test holds the two together.

use std::fmt;

/// The kinds of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// A quorum of voters serves.
    Available,
    /// Something is under way towards what the spec asks for; False with a reason if it is stuck.
    Progressing,
    /// Something needs attention, though the cluster may serve.
    Degraded,
    /// Certificates are there, valid and loaded.
    TlsReady,
    /// No quorum can be reached.
    QuorumLost,
    /// Everything is as the spec asks for.
    Ready,
}

impl ConditionType {
    pub const ALL: [ConditionType; 6] = [
        ConditionType::Available,
        ConditionType::Progressing,
        ConditionType::Degraded,
        ConditionType::TlsReady,
        ConditionType::QuorumLost,
        ConditionType::Ready,
    ];
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConditionType::Available => "Available",
            ConditionType::Progressing => "Progressing",
            ConditionType::Degraded => "Degraded",
            ConditionType::TlsReady => "TLSReady",
            ConditionType::QuorumLost => "QuorumLost",
            ConditionType::Ready => "Ready",
        })
    }
}

/// Writes the enum of reasons and their list from one table.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Why a condition is as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            pub const ALL: &[Reason] = &[$(Reason::$name),+];
        }
    };
}

reasons! {
    /// Everything is as asked for.
    AsAsked,
    /// A quorum of voters serves.
    QuorumServes,
    /// The cluster is being formed.
    Bootstrapping,
    /// The cluster is being formed from a backup.
    Restoring,
    /// A member is being added.
    ScalingUp,
    /// A member is being removed.
    ScalingDown,
    /// A member is being replaced.
    Replacing,
    /// Pods are being renewed one by one.
    RollingOut,
    /// CAs or certificates are being exchanged.
    Rotating,
    /// Volumes are growing.
    Resizing,
    /// Pods are stopping, volumes stay.
    Hibernating,
    /// Pods are starting on their volumes.
    Waking,
    /// No pods run, by wish.
    Hibernated,
    /// The operator only reports, by wish.
    Paused,
    /// The cluster is being made anew out of one survivor.
    Recovering,
    /// History is being compacted because space ran out.
    FreeingSpace,
    /// The cluster is being deleted.
    Deleting,
    /// A step waits for members to be healthy.
    WaitingForMembers,
    /// The members cannot be asked.
    StateUnknown,
    /// Fewer voters serve than a quorum; their volumes are there.
    PodsDown,
    /// The volumes of a majority are gone.
    VolumesLost,
    /// One member does not serve.
    MemberUnavailable,
    /// A member's container fails again and again.
    MemberCrashing,
    /// A member's volume is gone or empty.
    VolumeLost,
    /// A member has not come up in time.
    MemberStalled,
    /// A renewed pod has not become healthy in time.
    RolloutStalled,
    /// The new version may not follow the running one.
    VersionRefused,
    /// There is a member that the operator does not know.
    UnknownMember,
    /// Too many members were replaced within an hour.
    ReplacementsSpent,
    /// The store takes no more writes.
    SpaceExhausted,
    /// A member's data differs from that of the others.
    DataCorrupt,
    /// Volumes of a former cluster of this name are there.
    VolumesFound,
    /// What the operator wrote down about the cluster is gone.
    RecordLost,
    /// What is written down belongs to a former cluster of this name.
    RecordForeign,
    /// The annotation that asks for a recovery does not fit.
    RecoveryRefused,
    /// A Secret that the spec names is missing or incomplete.
    SecretMissing,
    /// The storage class does not exist.
    StorageClassUnknown,
    /// A volume does not become bound.
    VolumePending,
    /// The storage class does not let volumes grow.
    GrowthRefused,
    /// The image cannot be pulled.
    ImageUnavailable,
    /// No node takes a pod.
    Unschedulable,
    /// The namespace's quota or an admission rule refuses the pods.
    PodsRefused,
    /// The backup to restore from is missing or not complete.
    BackupMissing,
    /// The backup cannot be brought to the first member, or not be restored there.
    RestoreFailed,
    /// An object could not be written.
    ApplyFailed,
    /// Certificates are valid and loaded.
    CertificatesValid,
    /// Certificates are not there yet.
    CertificatesPending,
    /// A certificate expires soon and nobody has renewed it.
    CertificatesExpiring,
    /// A certificate has expired.
    CertificatesExpired,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
