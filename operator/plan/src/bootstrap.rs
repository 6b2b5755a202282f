//! Forming the cluster: once. The record is the latch, and it is written before the first pod.
//!
//! All members form the cluster together from a list that is fixed in the record. Afterwards an
//! empty directory never forms a cluster again: every later life of a place joins as a learner.

use std::collections::BTreeMap;

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;

use crate::observed::RestoreView;
use crate::record::{Bootstrap, MemberPhase, MemberRecord, Origin, Record};
use crate::step::Step;
use crate::verdict::{Next, activity, quietly};
use crate::view::{DEADLINE, View};

/// The life that members of a new cluster begin with.
const FIRST: u64 = 1;

/// Why there may never be a first forming; it needs a person.
pub(crate) fn obstacle(view: &View<'_>) -> Option<(Reason, String)> {
    if let Some(kept) = &view.seen.record {
        let is_foreign = kept.record.uid != view.seen.cluster.uid;
        return is_foreign.then(|| {
            let name = &view.seen.cluster.name;
            let message = format!(
                "the ConfigMap {name}-members was written for a former cluster of this name; it \
                 goes with that cluster, or delete it"
            );
            (Reason::RecordForeign, message)
        });
    }
    let status = view.seen.status.as_ref();
    if let Some(id) = status.and_then(|status| status.cluster_id.as_ref()) {
        let name = &view.seen.cluster.name;
        let message = format!(
            "cluster {id} has been formed, but the ConfigMap {name}-members is gone: put it back \
             from a copy. The members go on by themselves; nothing is changed until then"
        );
        return Some((Reason::RecordLost, message));
    }
    let volumes: Vec<String> = view.seen.volumes.keys().map(u32::to_string).collect();
    if !volumes.is_empty() {
        let name = &view.seen.cluster.name;
        let message = format!(
            "volumes data-{name}-N (N = {}) of a former cluster are there, and a new cluster must \
             not begin on them: delete them, or give the cluster another name",
            volumes.join(", ")
        );
        return Some((Reason::VolumesFound, message));
    }
    view.seen.workload.is_some().then(|| {
        let name = &view.seen.cluster.name;
        let message = format!(
            "there is a StatefulSet {name}, and nothing is written down about its members: delete \
             it, or give the cluster another name"
        );
        (Reason::RecordLost, message)
    })
}

/// A cluster that is born asleep has nothing until it is woken.
pub(crate) fn unborn(view: &View<'_>) -> Next {
    let sleeps = view.seen.spec.hibernated && view.seen.record.is_none();
    if !sleeps || obstacle(view).is_some() {
        return None;
    }
    let message = "the cluster is formed when it is woken for the first time";
    activity(Phase::Hibernated, Reason::Hibernated, message).wait()
}

/// Writes the latch.
pub(crate) fn latch(view: &View<'_>) -> Next {
    if view.record().is_some() {
        return None;
    }
    if let Some((reason, message)) = obstacle(view) {
        return activity(Phase::Pending, reason, message)
            .stalled(reason)
            .wait();
    }
    let restore = match &view.seen.restore {
        RestoreView::None => None,
        RestoreView::Ready(source) => Some(source.clone()),
        RestoreView::Missing(why) => {
            return activity(Phase::Pending, Reason::BackupMissing, why.as_str())
                .stalled(Reason::BackupMissing)
                .wait();
        }
    };
    let record = first_record(view, restore);
    let message = match &record.bootstrap.restore {
        None => format!("forming a cluster of {}", record.bootstrap.replicas),
        Some(_) => "forming a cluster of one from the backup; it grows afterwards".to_owned(),
    };
    doing(&record, message).with(Step::WriteRecord(Box::new(record.clone())))
}

/// A restored cluster begins with one member: a backup is restored once, and the others learn.
fn first_record(view: &View<'_>, restore: Option<String>) -> Record {
    let (count, origin) = match restore {
        Some(_) => (1, Origin::Restore),
        None => (view.seen.spec.replicas, Origin::Bootstrap),
    };
    let member = MemberRecord {
        incarnation: FIRST,
        origin,
        phase: MemberPhase::Bootstrapping,
        since: view.now(),
        former_pod: None,
        member_id: None,
        volume_uid: None,
    };
    let members: BTreeMap<u32, MemberRecord> = (0..count)
        .map(|ordinal| (ordinal, member.clone()))
        .collect();
    Record {
        uid: view.seen.cluster.uid.clone(),
        bootstrap: Bootstrap {
            replicas: count,
            at: view.now(),
            restore,
        },
        target: count,
        lives: members.keys().map(|ordinal| (*ordinal, FIRST)).collect(),
        members,
        ..Record::default()
    }
}

/// Waits until the members have found each other and notes who they are.
pub(crate) fn confirm(view: &View<'_>) -> Next {
    let record = view.record()?;
    if record.cluster_id.is_some() {
        return None;
    }
    let formed = view.agreed().filter(|members| {
        let places = record.members.keys();
        members.list.len() == record.members.len()
            && places
                .into_iter()
                .all(|ordinal| view.at(*ordinal).is_some())
    });
    let Some(members) = formed else {
        let waits = doing(record, waiting(view, record));
        // A backup takes its time by its size; what keeps it from being restored is told at once.
        let late = record.restoring().is_none() && view.age(record.bootstrap.at) > DEADLINE;
        return if late {
            waits.stalled(Reason::MemberStalled).wait()
        } else {
            waits.wait()
        };
    };
    let id = format!("{:x}", members.cluster_id);
    let step = view.write(|record| {
        for (ordinal, member) in &mut record.members {
            member.member_id = view.at(*ordinal).map(|member| format!("{:x}", member.id));
            seat(view, *ordinal, member);
        }
        record.cluster_id = Some(id.clone());
    });
    doing(record, format!("cluster {id} is formed")).with(step)
}

/// A member that answers has taken its seat: from now on an empty directory is a loss.
fn seat(view: &View<'_>, ordinal: u32, member: &mut MemberRecord) {
    let answers = member.id().is_some_and(|id| view.status(id).is_some());
    if member.is_forming() && answers {
        member.phase = MemberPhase::Voter;
        member.since = view.now();
        member.volume_uid = view.volume(ordinal).map(|volume| volume.uid.clone());
    }
}

/// Members that came later than the others' quorum.
pub(crate) fn latecomers(view: &View<'_>) -> Next {
    let record = view.record()?;
    view.agreed()?;
    let mut noted = record.clone();
    for (ordinal, member) in &mut noted.members {
        seat(view, *ordinal, member);
    }
    (noted != *record)
        .then(|| Step::WriteRecord(Box::new(noted)))
        .and_then(quietly)
}

fn waiting(view: &View<'_>, record: &Record) -> String {
    let pods = record
        .members
        .keys()
        .filter_map(|ordinal| view.pod(*ordinal));
    let running = pods.filter(|pod| pod.waiting.is_none()).count();
    let reasons = view
        .seen
        .probes
        .values()
        .filter_map(|probe| probe.reason.as_deref());
    let mut message = format!("{running} of {} pods run", record.members.len());
    if let Some(reason) = reasons.into_iter().next() {
        message.push_str("; a member says: ");
        message.push_str(reason);
    }
    message
}

fn doing(record: &Record, message: String) -> crate::verdict::Activity {
    match record.bootstrap.restore {
        None => activity(Phase::Bootstrapping, Reason::Bootstrapping, message),
        Some(_) => activity(Phase::Restoring, Reason::Restoring, message),
    }
}
