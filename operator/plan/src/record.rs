//! What the operator must remember of a cluster: kept as `record.json` in the ConfigMap
//! `<c>-members`, beside the intents of the members, which follow from it.
//!
//! It is written before whatever it announces, with the resource version as precondition. It is the
//! latch: a cluster that has a record is never formed again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, planted};
use crate::observed::{Cluster, Plane};

/// Where the file of a backup is put for the member that begins with it: on the member's volume.
pub const SNAPSHOT: &str = "/var/lib/mainstay/restore.db";
/// The container of the member's pod that puts it there.
pub const RESTORE: &str = "restore";
/// By how much a restored cluster's revision is above that of the backup. A client that knew the
/// former cluster by the same address is thus told that its revision is compacted, and reads anew
/// instead of missing what was undone; etcd advises the same for clusters below Kubernetes.
pub const BUMP_REVISION: u64 = 1_000_000_000;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Uid of the resource: a later one of the same name is another cluster.
    pub uid: String,
    pub bootstrap: Bootstrap,
    /// Hexadecimal; none until the first member has told it.
    #[serde(rename = "clusterID", default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The number of members that the change under way leads to.
    pub target: u32,
    /// Places in the cluster by ordinal: from 0 on, without gaps.
    pub members: BTreeMap<u32, MemberRecord>,
    /// The last life that a place has had, also of places that are gone.
    #[serde(default)]
    pub lives: BTreeMap<u32, u64>,
    #[serde(default)]
    pub hibernated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// Recoveries that were begun, and wishes for one that were void.
    #[serde(default)]
    pub recoveries: u32,
    #[serde(default)]
    pub rotation: BTreeMap<Plane, Rotation>,
    /// The version that all members were seen to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Replacements of the last hour.
    #[serde(default)]
    pub replacements: Vec<Timestamp>,
    /// The last attempt to free space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed: Option<Freeing>,
    /// The texts of annotations that were obeyed, by annotation.
    #[serde(default)]
    pub obeyed: BTreeMap<String, String>,
}

/// How the cluster came to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    pub replicas: u32,
    pub at: Timestamp,
    /// The backup that the one member begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<String>,
}

/// One place in the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberRecord {
    /// Counts the lives of this place.
    pub incarnation: u64,
    /// What this life began as.
    pub origin: Origin,
    pub phase: MemberPhase,
    /// When the phase was entered.
    pub since: Timestamp,
    /// The pod that was there when this life began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_pod: Option<String>,
    /// Hexadecimal.
    #[serde(rename = "memberID", default, skip_serializing_if = "Option::is_none")]
    pub member_id: Option<String>,
    /// The claim that holds its data.
    #[serde(rename = "volumeUID", default, skip_serializing_if = "Option::is_none")]
    pub volume_uid: Option<String>,
}

/// What a life began as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Formed the cluster with others.
    Bootstrap,
    /// Formed it alone, on restored data.
    Restore,
    /// Was added as a learner.
    Join,
    /// Made the cluster anew out of its data.
    ForceNew,
}

/// Where a place stands. The comment names what ends the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberPhase {
    /// Until it has been seen in the cluster that is formed. An empty directory takes its seat only
    /// by an intent to bootstrap, so that stays until then.
    Bootstrapping,
    /// To be added to the list as a learner: until it is listed.
    Adding,
    /// A learner that starts and catches up: until it votes.
    Joining,
    Voter,
    /// To be removed for good: until it is not listed.
    Leaving,
    /// Not listed any more: until its pod and, by policy, its volume are gone.
    Removed,
    /// To be removed and added anew: until it is not listed and pod and volume are gone.
    Replacing,
    /// Kept from starting, not listed: until it is its turn to be added.
    Held,
}

/// A quorum was lost for good, and one survivor makes the cluster anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    pub phase: RecoveryPhase,
    pub since: Timestamp,
    /// Named by the annotation, or chosen by the end of its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survivor: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryPhase {
    /// All members are told to hold.
    Fencing,
    /// The survivor makes the cluster anew.
    Forming,
}

/// A CA is being exchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    pub phase: RotationPhase,
    pub since: Timestamp,
    /// Fingerprint of the CA that goes.
    pub from: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RotationPhase {
    /// Until every member trusts the old and the new CA.
    Trusting,
    /// Until every member shows a certificate of the new CA.
    Reissuing,
    /// Until every member trusts the new CA only.
    Dropping,
}

/// An attempt to free space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Freeing {
    pub at: Timestamp,
    /// History before this revision goes.
    pub revision: i64,
}

/// The file that a server reads: `<c>-<ordinal>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    pub mode: IntentMode,
    #[serde(rename = "clusterID", default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    pub incarnation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_cluster: Option<String>,
    /// With `Restore`: the file, and by how much the revision is raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bump_revision: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IntentMode {
    Bootstrap,
    Restore,
    Join,
    ForceNew,
    Hold,
}

impl Record {
    /// The backup that a member is about to begin with; none once it has been seen with its content.
    pub fn restoring(&self) -> Option<&str> {
        let restores = |member: &MemberRecord| {
            member.phase == MemberPhase::Bootstrapping && member.origin == Origin::Restore
        };
        let backup = self.bootstrap.restore.as_deref();
        backup.filter(|_| self.members.values().any(restores))
    }

    /// Pods that there shall be.
    pub fn pods(&self) -> u32 {
        if self.hibernated {
            return 0;
        }
        let wanted = self.members.iter().filter(|(_, member)| member.has_pod());
        wanted.map(|(ordinal, _)| ordinal + 1).max().unwrap_or(0)
    }

    /// The intent of each place that may have a pod.
    ///
    /// A running server starts anew when the incarnation or the cluster of its intent changes, so
    /// only a member that joins is told the cluster: it has known it from its first moment.
    pub fn intents(&self, cluster: &Cluster) -> BTreeMap<u32, Intent> {
        let listed = self.members.iter().filter(|(_, member)| member.is_listed());
        let listed = list(cluster, listed.map(|(ordinal, _)| *ordinal));
        let first = list(cluster, 0..self.bootstrap.replicas);
        let rows = self.members.iter().map(|(ordinal, member)| {
            let initial = if member.is_forming() { &first } else { &listed };
            (*ordinal, self.intent(*ordinal, member, initial))
        });
        rows.collect()
    }

    /// A list that lacks the member itself would be refused: who holds is given none.
    fn intent(&self, ordinal: u32, member: &MemberRecord, initial: &str) -> Intent {
        let mode = self.mode(ordinal, member);
        let joins = member.origin == Origin::Join && mode == IntentMode::Join;
        let joins = joins || planted(Fault::NameCluster);
        let restores = mode == IntentMode::Restore;
        Intent {
            mode,
            cluster_id: self.cluster_id.clone().filter(|_| joins),
            incarnation: member.incarnation,
            initial_cluster: (mode != IntentMode::Hold).then(|| initial.to_owned()),
            snapshot: restores.then(|| SNAPSHOT.to_owned()),
            bump_revision: restores.then_some(BUMP_REVISION),
        }
    }

    fn mode(&self, ordinal: u32, member: &MemberRecord) -> IntentMode {
        if let Some(recovery) = &self.recovery {
            let survives = recovery.survivor == Some(ordinal);
            return match recovery.phase {
                RecoveryPhase::Forming if survives => IntentMode::ForceNew,
                RecoveryPhase::Fencing | RecoveryPhase::Forming => IntentMode::Hold,
            };
        }
        match member.phase {
            MemberPhase::Voter if planted(Fault::FormAgain) => IntentMode::Bootstrap,
            MemberPhase::Bootstrapping if member.origin == Origin::Restore => IntentMode::Restore,
            MemberPhase::Bootstrapping => IntentMode::Bootstrap,
            // The cluster exists: an empty directory must never form another one.
            MemberPhase::Voter
            | MemberPhase::Adding
            | MemberPhase::Joining
            | MemberPhase::Leaving
            | MemberPhase::Replacing => IntentMode::Join,
            MemberPhase::Removed | MemberPhase::Held => IntentMode::Hold,
        }
    }

    /// The member whose change is under way.
    pub fn in_flight(&self) -> Option<(u32, &MemberRecord)> {
        let mut changing = self.members.iter().filter(|(_, member)| {
            !matches!(
                member.phase,
                MemberPhase::Voter | MemberPhase::Bootstrapping | MemberPhase::Held
            )
        });
        changing.next().map(|(ordinal, member)| (*ordinal, member))
    }
}

/// Members as `--initial-cluster` writes them.
fn list(cluster: &Cluster, ordinals: impl Iterator<Item = u32>) -> String {
    let members = ordinals.map(|ordinal| {
        let (name, url) = (cluster.member(ordinal), cluster.peer_url(ordinal));
        format!("{name}={url}")
    });
    members.collect::<Vec<String>>().join(",")
}

impl MemberRecord {
    /// A pod shall be there. A place that is being added gets its pod once it is listed; one that it
    /// still has from a former life may stay.
    pub fn has_pod(&self) -> bool {
        !matches!(self.phase, MemberPhase::Removed | MemberPhase::Adding)
    }

    /// Counts among those that a joining member must find in the cluster.
    pub fn is_listed(&self) -> bool {
        !matches!(self.phase, MemberPhase::Removed | MemberPhase::Held)
    }

    /// Has not yet been seen in the cluster that it forms with others; until then it must find the
    /// list that they all began with, as their identities follow from it.
    pub fn is_forming(&self) -> bool {
        self.phase == MemberPhase::Bootstrapping && self.origin != Origin::ForceNew
    }

    pub fn id(&self) -> Option<u64> {
        let text = self.member_id.as_deref()?;
        u64::from_str_radix(text, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(origin: Origin, phase: MemberPhase) -> MemberRecord {
        MemberRecord {
            incarnation: 2,
            origin,
            phase,
            since: Timestamp::UNIX_EPOCH,
            former_pod: None,
            member_id: Some("a1".to_owned()),
            volume_uid: None,
        }
    }

    fn record(members: &[(Origin, MemberPhase)]) -> Record {
        let rows = members.iter().zip(0..);
        let rows = rows.map(|((origin, phase), ordinal)| (ordinal, member(*origin, *phase)));
        Record {
            cluster_id: Some("c1".to_owned()),
            bootstrap: Bootstrap {
                replicas: 2,
                ..Bootstrap::default()
            },
            members: rows.collect(),
            ..Record::default()
        }
    }

    fn cluster() -> Cluster {
        Cluster {
            name: "db".to_owned(),
            namespace: "ns".to_owned(),
            ..Cluster::default()
        }
    }

    fn written(record: &Record, ordinal: u32) -> String {
        serde_json::to_string(&record.intents(&cluster())[&ordinal]).unwrap()
    }

    const TWO: &str = "db-0=https://db-0.db-peer.ns.svc:2380,db-1=https://db-1.db-peer.ns.svc:2380";

    #[test]
    fn intents_are_what_the_server_reads() {
        let record = record(&[
            (Origin::Bootstrap, MemberPhase::Voter),
            (Origin::Bootstrap, MemberPhase::Bootstrapping),
            (Origin::Join, MemberPhase::Joining),
            (Origin::Join, MemberPhase::Held),
        ]);
        let three = format!("{TWO},db-2=https://db-2.db-peer.ns.svc:2380");
        // Known in the cluster: it never forms another, and is told no cluster it did not know.
        let voter = format!(r#"{{"mode":"join","incarnation":2,"initialCluster":"{three}"}}"#);
        assert_eq!(written(&record, 0), voter);
        // Not seen yet: the list that all began with.
        let forming = format!(r#"{{"mode":"bootstrap","incarnation":2,"initialCluster":"{TWO}"}}"#);
        assert_eq!(written(&record, 1), forming);
        let joining = format!(
            r#"{{"mode":"join","clusterID":"c1","incarnation":2,"initialCluster":"{three}"}}"#
        );
        assert_eq!(written(&record, 2), joining);
        assert_eq!(written(&record, 3), r#"{"mode":"hold","incarnation":2}"#);
    }

    #[test]
    fn a_backup_is_restored_by_the_first_member_alone_and_once() {
        let mut record = record(&[(Origin::Restore, MemberPhase::Bootstrapping)]);
        record.bootstrap = Bootstrap {
            replicas: 1,
            restore: Some("nightly".to_owned()),
            ..Bootstrap::default()
        };
        record.cluster_id = None;
        assert_eq!(record.restoring(), Some("nightly"));
        let one = "db-0=https://db-0.db-peer.ns.svc:2380";
        let restores = format!(
            r#"{{"mode":"restore","incarnation":2,"initialCluster":"{one}","snapshot":"/var/lib/mainstay/restore.db","bumpRevision":1000000000}}"#
        );
        assert_eq!(written(&record, 0), restores);
        // Seen with the content: an empty directory is a loss now, and never restored again.
        record.members.get_mut(&0).unwrap().phase = MemberPhase::Voter;
        assert_eq!(record.restoring(), None);
        let joins = format!(r#"{{"mode":"join","incarnation":2,"initialCluster":"{one}"}}"#);
        assert_eq!(written(&record, 0), joins);
    }

    #[test]
    fn pods_follow_the_places() {
        let voters = [(Origin::Bootstrap, MemberPhase::Voter); 2];
        let mut grown = record(&voters);
        assert_eq!(grown.pods(), 2);
        for (phase, pods) in [
            (MemberPhase::Adding, 2),
            (MemberPhase::Joining, 3),
            (MemberPhase::Leaving, 3),
            (MemberPhase::Removed, 2),
        ] {
            grown.members.insert(2, member(Origin::Join, phase));
            assert_eq!(grown.pods(), pods, "{phase:?}");
        }
        grown.hibernated = true;
        assert_eq!(grown.pods(), 0);
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = record(&[(Origin::Restore, MemberPhase::Voter)]);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        assert_eq!(record.members[&0].id(), Some(0xa1));
    }
}
