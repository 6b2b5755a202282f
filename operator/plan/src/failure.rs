//! Members that do not come back by themselves, and when one is replaced.
//!
//! A lost pod is nothing: the StatefulSet brings it back with its volume. A lost volume is a lost
//! member. One member at a time, only while the others keep a quorum, and few in an hour: something
//! that eats member after member is stopped by a person, not fed.

use std::time::Duration;

use jiff::Timestamp;
use mainstay_operator_api::annotation;
use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::recovery::Repair;
use mainstay_operator_api::status::Phase;

use crate::observed::AlarmKind;
use crate::quorum;
use crate::record::MemberPhase;
use crate::verdict::{Next, activity};
use crate::view::View;

/// Most replacements in an hour.
const REPLACEMENTS: usize = 3;
const HOUR: Duration = Duration::from_secs(3600);
/// Restarts that make a crashing container a failed member.
const RESTARTS: u32 = 5;

/// Why a member shall be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub ordinal: u32,
    pub reason: Reason,
    pub message: String,
    /// Whether the operator may act by the spec.
    pub repair: bool,
}

/// Members that have failed, the surest first.
pub(crate) fn all(view: &View<'_>) -> Vec<Failure> {
    let places = view.places().into_iter();
    let votes = |phase| matches!(phase, MemberPhase::Voter | MemberPhase::Bootstrapping);
    let voters = places.filter(|(_, member)| votes(member.phase));
    let ordinals: Vec<u32> = voters.map(|(ordinal, _)| ordinal).collect();
    let kinds = [asked, corrupt, without_volume, crashing];
    let mut failures: Vec<Failure> = Vec::new();
    for kind in kinds {
        for ordinal in &ordinals {
            let known = failures.iter().any(|failure| failure.ordinal == *ordinal);
            if let Some(failure) = kind(view, *ordinal).filter(|_| !known) {
                failures.push(failure);
            }
        }
    }
    failures
}

/// By the annotation, which names the life that shall end. An only member cannot be replaced.
fn asked(view: &View<'_>, ordinal: u32) -> Option<Failure> {
    let text = view
        .seen
        .cluster
        .annotations
        .get(annotation::REPLACE_MEMBER)?;
    let member = view.places().get(&ordinal).copied()?;
    let is_meant = *text == format!("{ordinal}:{}", member.incarnation);
    (is_meant && view.voters().len() > 1).then(|| Failure {
        ordinal,
        reason: Reason::Replacing,
        message: "it shall be replaced, as the annotation asks".to_owned(),
        repair: true,
    })
}

fn corrupt(view: &View<'_>, ordinal: u32) -> Option<Failure> {
    let id = view.places().get(&ordinal)?.id()?;
    view.has_alarm(id, AlarmKind::Corrupt).then(|| Failure {
        ordinal,
        reason: Reason::DataCorrupt,
        message: "its data differs from that of the others".to_owned(),
        repair: view.seen.spec.recovery.failed_member == Repair::Automatic,
    })
}

fn without_volume(view: &View<'_>, ordinal: u32) -> Option<Failure> {
    let serves = view.takes_part(ordinal);
    (!serves && quorum::has_lost_its_volume(view, ordinal)).then(|| Failure {
        ordinal,
        reason: Reason::VolumeLost,
        message: "its volume is gone or empty".to_owned(),
        repair: true,
    })
}

/// Longer than the spec allows: its node is gone, or it crashes again and again for another reason
/// than memory, which another volume would not mend.
fn crashing(view: &View<'_>, ordinal: u32) -> Option<Failure> {
    let pod = view.pod(ordinal)?;
    let crashes = pod.waiting.as_deref() == Some("CrashLoopBackOff") && pod.restarts >= RESTARTS;
    if !(pod.node_gone || crashes && !pod.out_of_memory) {
        return None;
    }
    let limit = Duration::from_secs(view.seen.spec.recovery.replace_after_seconds.into());
    let is_late = pod
        .unready_since
        .is_some_and(|since| view.age(since) >= limit);
    let serves = view.takes_part(ordinal);
    // A template that every pod would fail on is not mended by new volumes.
    let is_stale = view.is_outdated(pod);
    let message = match pod.node_gone {
        true => "its node is gone".to_owned(),
        false => format!("it has crashed {} times", pod.restarts),
    };
    (is_late && !serves && !is_stale).then(|| Failure {
        ordinal,
        reason: Reason::MemberCrashing,
        message,
        repair: view.seen.spec.recovery.failed_member == Repair::Automatic,
    })
}

/// Begins to replace the first failed member that may be.
pub(crate) fn next(view: &View<'_>) -> Next {
    let record = view.record()?;
    view.agreed()?;
    if record.in_flight().is_some() || !view.learners().is_empty() {
        return None;
    }
    let failures: Vec<Failure> = all(view)
        .into_iter()
        .filter(|failure| failure.repair)
        .collect();
    let can_go = |failure: &&Failure| {
        let id = view
            .places()
            .get(&failure.ordinal)
            .and_then(|member| member.id());
        id.is_some_and(|id| view.can_remove(id))
    };
    let able = failures.iter().find(can_go);
    let failure = able.or(failures.first())?;
    let name = view.seen.cluster.member(failure.ordinal);
    let doing = |message: String| activity(Phase::Repairing, failure.reason, message);
    if able.is_none() {
        let alone = view.voters().len() == 1;
        let message = match alone {
            true => format!(
                "{name}: {}. It is the only member: restore a backup into a new cluster",
                failure.message
            ),
            false => format!(
                "{name}: {}. It is replaced once the others are a quorum without it",
                failure.message
            ),
        };
        return doing(message).stalled(failure.reason).wait();
    }
    let recent = recent(view, &record.replacements);
    if recent.len() >= REPLACEMENTS {
        let message = format!(
            "{name}: {}. {REPLACEMENTS} members were replaced within an hour; the next one waits",
            failure.message
        );
        return doing(message).stalled(Reason::ReplacementsSpent).wait();
    }
    let step = view.write(|record| {
        record.replacements = recent.into_iter().chain([view.now()]).collect();
        if let Some(member) = record.members.get_mut(&failure.ordinal) {
            member.phase = MemberPhase::Replacing;
            member.since = view.now();
        }
    });
    doing(format!("{name}: {}; replacing it", failure.message)).with(step)
}

fn recent(view: &View<'_>, replacements: &[Timestamp]) -> Vec<Timestamp> {
    let recent = replacements.iter().filter(|at| view.age(**at) < HOUR);
    recent.copied().collect()
}
