//! A cluster whose quorum is lost for good is made anew out of one survivor, if somebody asks.
//!
//! First every member is told to hold, so that no old quorum can come back behind the new one. Then
//! the survivor whose log reaches furthest makes its data a cluster of its own, in a new life; the
//! others are added one after the other as learners with empty directories.

use mainstay_operator_api::annotation;
use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::recovery::Repair;
use mainstay_operator_api::status::Phase;

use crate::observed::LogEnd;
use crate::quorum::{self, Quorum};
use crate::record::{MemberPhase, Origin, Recovery, RecoveryPhase};
use crate::step::Step;
use crate::verdict::{Activity, Next, activity, quietly};
use crate::view::{DEADLINE, View};

fn doing(message: impl Into<String>) -> Activity {
    activity(Phase::Recovering, Reason::Recovering, message)
}

/// Begins where it is asked for and a quorum is lost.
pub(crate) fn begin(view: &View<'_>) -> Next {
    let record = view.record()?;
    let lost = quorum::of(view);
    if !matches!(lost, Quorum::PodsDown(_) | Quorum::VolumesLost(_)) {
        return None;
    }
    let survivor = match (asked(view), &lost) {
        (Some(Ok(survivor)), _) => survivor,
        (Some(Err(why)), _) => {
            let refused = activity(Phase::QuorumLost, Reason::RecoveryRefused, why);
            return refused.stalled(Reason::RecoveryRefused).wait();
        }
        (None, Quorum::VolumesLost(_)) if lost_long_enough(view) => None,
        (None, _) => return None,
    };
    let voters = quorum::voters(view);
    if voters
        .iter()
        .all(|ordinal| quorum::has_lost_its_volume(view, *ordinal))
    {
        let why = "no voter has its volume: nothing is left to make a cluster of. Restore a backup \
                   into a new cluster";
        let refused = activity(Phase::QuorumLost, Reason::RecoveryRefused, why);
        return refused.stalled(Reason::RecoveryRefused).wait();
    }
    let number = record.recoveries + 1;
    let step = view.write(|record| {
        record.recoveries = number;
        record.recovery = Some(Recovery {
            phase: RecoveryPhase::Fencing,
            since: view.now(),
            survivor,
        });
    });
    doing(format!("recovery {number}: telling all members to hold")).with(step)
}

/// By the spec, and long enough after the condition was first written.
fn lost_long_enough(view: &View<'_>) -> bool {
    if view.seen.spec.recovery.quorum_loss != Repair::Automatic {
        return false;
    }
    let conditions = view
        .seen
        .status
        .iter()
        .flat_map(|status| &status.conditions);
    let mut lost = conditions.filter(|condition| {
        condition.type_ == "QuorumLost"
            && condition.status == "True"
            && condition.reason == Reason::VolumesLost.to_string()
    });
    lost.any(|condition| view.age(condition.last_transition_time.0) >= quorum::LOST_FOR)
}

/// The survivor that the annotation names, if it names one; why it does not fit; none without it or
/// with the number of a recovery that has been.
fn asked(view: &View<'_>) -> Option<Result<Option<u32>, String>> {
    let record = view.record()?;
    let text = view
        .seen
        .cluster
        .annotations
        .get(annotation::RECOVER_QUORUM)?;
    let (number, survivor) = match text.split_once(':') {
        Some((number, survivor)) => (number, Some(survivor)),
        None => (text.as_str(), None),
    };
    let number = number.parse::<u32>();
    if number
        .as_ref()
        .is_ok_and(|number| *number < record.recoveries)
    {
        return None;
    }
    if number != Ok(record.recoveries) {
        return Some(Err(format!(
            "{} is {text:?}; the next recovery has the number {}",
            annotation::RECOVER_QUORUM,
            record.recoveries
        )));
    }
    let Some(survivor) = survivor else {
        return Some(Ok(None));
    };
    let ordinal = survivor.parse::<u32>().ok();
    let ordinal = ordinal.filter(|ordinal| record.members.contains_key(ordinal));
    Some(ordinal.map(Some).ok_or_else(|| {
        format!(
            "{} names member {survivor:?}, which there is not",
            annotation::RECOVER_QUORUM
        )
    }))
}

/// A wish that is there while a quorum serves is void, and its number is used up: else it would lie
/// in wait for the next restart of a pod.
pub(crate) fn void(view: &View<'_>) -> Next {
    view.agreed()?;
    asked(view)?.ok()?;
    quietly(view.write(|record| record.recoveries += 1))
}

/// Goes on with a recovery that was begun, whatever else is the matter.
pub(crate) fn resume(view: &View<'_>) -> Next {
    let recovery = view.record()?.recovery.as_ref()?;
    match recovery.phase {
        RecoveryPhase::Fencing => fence(view, recovery),
        RecoveryPhase::Forming => form(view, recovery),
    }
}

/// Waits until every pod that runs holds, then settles on the survivor.
fn fence(view: &View<'_>, recovery: &Recovery) -> Next {
    let record = view.record()?;
    let is_held = |ordinal: &u32| {
        let probe = view.seen.probes.get(ordinal);
        probe.is_some_and(|probe| probe.is_held())
    };
    let refresh = format!("hold-{}", record.recoveries);
    let stale: Vec<u32> = view
        .seen
        .pods
        .iter()
        .filter(|(ordinal, pod)| {
            !is_held(ordinal) && pod.annotations.get(annotation::POD_REFRESH) != Some(&refresh)
        })
        .map(|(ordinal, _)| *ordinal)
        .collect();
    if !stale.is_empty() {
        return doing("telling all members to hold").with(Step::AnnotatePods {
            ordinals: stale,
            key: annotation::POD_REFRESH.to_owned(),
            value: refresh,
        });
    }
    let running = view
        .seen
        .pods
        .iter()
        .filter(|(_, pod)| !pod.has_never_started());
    let free: Vec<String> = running
        .filter(|(ordinal, _)| !is_held(ordinal))
        .map(|(ordinal, _)| view.seen.cluster.member(*ordinal))
        .collect();
    if !free.is_empty() {
        let waits = doing(format!("waiting until {} hold", free.join(", ")));
        let late = view.age(recovery.since) > DEADLINE;
        return if late {
            waits.stalled(Reason::MemberStalled).wait()
        } else {
            waits.wait()
        };
    }
    let Some(survivor) = recovery
        .survivor
        .or_else(|| furthest(view).or_else(|| last_left(view)))
    else {
        let message = format!(
            "no member that holds says how far its log reaches: name the survivor with the \
             annotation {}: \"{}:<ordinal>\"",
            annotation::RECOVER_QUORUM,
            record.recoveries
        );
        return name_survivor(view, doing(message));
    };
    if !is_held(&survivor) {
        let name = view.seen.cluster.member(survivor);
        let waits = doing(format!(
            "waiting for {name}, the survivor, to start with its data"
        ));
        return waits.stalled(Reason::MemberStalled).wait();
    }
    choose(view, survivor)
}

/// A survivor may also be named once the members hold.
fn name_survivor(view: &View<'_>, waits: Activity) -> Next {
    match asked(view) {
        Some(Ok(Some(survivor))) => {
            let step = view.write(|record| {
                if let Some(recovery) = &mut record.recovery {
                    recovery.survivor = Some(survivor);
                }
            });
            waits.with(step)
        }
        _ => waits.stalled(Reason::RecoveryRefused).wait(),
    }
}

/// The member that holds and whose log reaches furthest; a learner may have become a voter since its
/// phase was noted. A volume that was made anew is no survivor.
fn furthest(view: &View<'_>) -> Option<u32> {
    let able = candidates(view).filter_map(|ordinal| {
        let probe = view.seen.probes.get(&ordinal)?;
        let end = probe.log.filter(|end| *end > LogEnd::default())?;
        let usable = probe.is_held() && !quorum::has_lost_its_volume(view, ordinal);
        usable.then_some((end, std::cmp::Reverse(ordinal)))
    });
    able.max().map(|(_, ordinal)| ordinal.0)
}

/// Places that vote or may by now. One that was about to go may be off the list, and its data is then
/// of no use: only a person may name it.
fn candidates(view: &View<'_>) -> impl Iterator<Item = u32> {
    let stays = |phase| {
        use MemberPhase::{Bootstrapping, Joining, Voter};
        matches!(phase, Voter | Joining | Bootstrapping)
    };
    let places = view.places().into_iter();
    let staying = places.filter(move |(_, member)| stays(member.phase));
    staying
        .map(|(ordinal, _)| ordinal)
        .collect::<Vec<u32>>()
        .into_iter()
}

/// The one member whose volume is not gone: there is nothing to compare it with.
fn last_left(view: &View<'_>) -> Option<u32> {
    let places = view.places().into_keys();
    let kept: Vec<u32> = places
        .filter(|ordinal| !quorum::has_lost_its_volume(view, *ordinal))
        .collect();
    let [only] = kept.as_slice() else {
        return None;
    };
    let probe = view.seen.probes.get(only);
    probe.is_some_and(|probe| probe.is_held()).then_some(*only)
}

/// The survivor gets a new life; all other places wait for theirs.
fn choose(view: &View<'_>, survivor: u32) -> Next {
    let step = view.write(|record| {
        for (ordinal, member) in &mut record.members {
            member.since = view.now();
            member.member_id = None;
            member.volume_uid = None;
            if *ordinal == survivor {
                let life = record.lives.entry(*ordinal).or_default();
                *life = (*life).max(member.incarnation) + 1;
                member.incarnation = *life;
                member.origin = Origin::ForceNew;
                member.phase = MemberPhase::Bootstrapping;
            } else {
                member.phase = MemberPhase::Held;
            }
        }
        record.cluster_id = None;
        record.recovery = Some(Recovery {
            phase: RecoveryPhase::Forming,
            since: view.now(),
            survivor: Some(survivor),
        });
    });
    doing(format!(
        "{} is the survivor",
        view.seen.cluster.member(survivor)
    ))
    .with(step)
}

/// Waits until the survivor is a cluster of one.
fn form(view: &View<'_>, recovery: &Recovery) -> Next {
    let survivor = recovery.survivor?;
    let name = view.seen.cluster.member(survivor);
    let formed = view.agreed().filter(|members| {
        members.list.len() == 1 && view.at(survivor).is_some_and(|member| view.serves(member))
    });
    let Some(members) = formed else {
        let waits = doing(format!(
            "waiting until {name} has become a cluster of its own"
        ));
        let late = view.age(recovery.since) > DEADLINE;
        return if late {
            waits.stalled(Reason::MemberStalled).wait()
        } else {
            waits.wait()
        };
    };
    let step = view.write(|record| {
        record.cluster_id = Some(format!("{:x}", members.cluster_id));
        record.recovery = None;
        if let Some(member) = record.members.get_mut(&survivor) {
            member.phase = MemberPhase::Voter;
            member.since = view.now();
            member.member_id = view.at(survivor).map(|member| format!("{:x}", member.id));
            member.volume_uid = view.volume(survivor).map(|volume| volume.uid.clone());
        }
    });
    doing(format!(
        "{name} is a cluster of its own; the others join it"
    ))
    .with(step)
}
