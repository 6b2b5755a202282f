//! The one membership change that is under way, brought to its end before another begins.

use std::time::Duration;

use jiff::SignedDuration;
use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;
use mainstay_operator_api::storage::Retention;

use crate::fault::{Fault, planted};
use crate::observed::Pod;
use crate::record::{MemberPhase, MemberRecord, Origin};
use crate::step::Step;
use crate::verdict::{Activity, Next, activity};
use crate::view::{DEADLINE, View, quorum};
use crate::{failure, leader};

/// How far the operator's clock and the API server's may differ.
const CLOCKS: Duration = Duration::from_secs(5);

pub(crate) fn next(view: &View<'_>) -> Next {
    let (ordinal, member) = view.record()?.in_flight()?;
    if planted(Fault::ChangeTwice) && view.age(member.since) > Duration::from_secs(10) {
        return None;
    }
    match member.phase {
        MemberPhase::Adding => add(view, ordinal, member),
        MemberPhase::Joining => join(view, ordinal, member),
        MemberPhase::Leaving => leave(view, ordinal, member),
        MemberPhase::Removed => clear(view, ordinal, member),
        MemberPhase::Replacing => replace(view, ordinal, member),
        MemberPhase::Voter | MemberPhase::Bootstrapping | MemberPhase::Held => None,
    }
}

/// A later life than the first stands for a place that was there before.
fn growing(view: &View<'_>, ordinal: u32, member: &MemberRecord, what: &str) -> Activity {
    let name = view.seen.cluster.member(ordinal);
    let message = format!("{name}: {what}");
    let late = view.age(member.since) > DEADLINE;
    let is_new = view
        .record()
        .is_some_and(|record| ordinal + 1 >= record.target);
    let growing = if is_new && member.incarnation <= 1 {
        activity(Phase::ScalingUp, Reason::ScalingUp, message)
    } else {
        activity(Phase::Repairing, Reason::Replacing, message)
    };
    if late {
        growing.stalled(Reason::MemberStalled)
    } else {
        growing
    }
}

fn shrinking(view: &View<'_>, ordinal: u32, member: &MemberRecord, what: &str) -> Activity {
    let message = format!("{}: {what}", view.seen.cluster.member(ordinal));
    let shrinking = activity(Phase::ScalingDown, Reason::ScalingDown, message);
    let late = view.age(member.since) > DEADLINE;
    if late {
        shrinking.stalled(Reason::MemberStalled)
    } else {
        shrinking
    }
}

/// Whether nobody wants the place any more that is being filled. Places go from the last one down: one
/// in the middle is filled first.
fn is_surplus(view: &View<'_>, ordinal: u32) -> bool {
    let last = view.places().keys().next_back().copied();
    ordinal >= view.seen.spec.replicas && last == Some(ordinal)
}

fn turn_back(view: &View<'_>, ordinal: u32) -> Step {
    view.write(|record| {
        record.target = view.seen.spec.replicas;
        if let Some(member) = record.members.get_mut(&ordinal) {
            member.phase = MemberPhase::Leaving;
            member.since = view.now();
        }
    })
}

fn add(view: &View<'_>, ordinal: u32, member: &MemberRecord) -> Next {
    let doing = |what: &str| growing(view, ordinal, member, what);
    if let Some(listed) = view.at(ordinal) {
        if !listed.learner {
            let what = "a voter is listed at its URL that is not known here";
            return doing(what).stalled(Reason::UnknownMember).wait();
        }
        let id = format!("{:x}", listed.id);
        let step = view.write(|record| {
            if let Some(member) = record.members.get_mut(&ordinal) {
                member.phase = MemberPhase::Joining;
                member.since = view.now();
                member.member_id = Some(id);
            }
        });
        return doing("it is a learner").with(step);
    }
    if is_surplus(view, ordinal) {
        return shrinking(view, ordinal, member, "it is not wanted any more")
            .with(turn_back(view, ordinal));
    }
    if let Some(pod) = former_pod(view, ordinal, member) {
        if pod.deleting && !pod.node_gone {
            return doing("its former pod is stopping").wait();
        }
        return doing("stopping its former pod").with(Step::DeletePod {
            ordinal,
            uid: pod.uid.clone(),
            force: pod.node_gone,
        });
    }
    if !view.learners().is_empty() {
        return doing("another learner is listed").wait();
    }
    if view.serving() < quorum(view.voters().len()) {
        return doing("it is added once a quorum of voters is well").wait();
    }
    let peer_url = view.seen.cluster.peer_url(ordinal);
    doing("adding it as a learner").with(Step::AddLearner { ordinal, peer_url })
}

fn join(view: &View<'_>, ordinal: u32, member: &MemberRecord) -> Next {
    let doing = |what: &str| growing(view, ordinal, member, what);
    let Some(listed) = member.id().and_then(|id| view.by_id(id)) else {
        // Somebody has removed it: this life is over, and its data cannot be used again.
        let step = begin_life(view, ordinal);
        return doing("it was removed from the list; it is added anew").with(step);
    };
    if !listed.learner {
        let volume = view.volume(ordinal).map(|volume| volume.uid.clone());
        let step = view.write(|record| {
            if let Some(member) = record.members.get_mut(&ordinal) {
                member.phase = MemberPhase::Voter;
                member.since = view.now();
                member.volume_uid = volume;
            }
        });
        return doing("it votes").with(step);
    }
    if is_surplus(view, ordinal) {
        return shrinking(view, ordinal, member, "it is not wanted any more")
            .with(turn_back(view, ordinal));
    }
    let probe = view.seen.probes.get(&ordinal);
    if probe.is_some_and(|probe| probe.has_lost_its_data()) {
        let step = view.write(|record| {
            if let Some(member) = record.members.get_mut(&ordinal) {
                member.phase = MemberPhase::Replacing;
                member.since = view.now();
            }
        });
        return doing("it has lost its data while it joined").with(step);
    }
    match behind(view, listed.id) {
        None => doing(&waiting(view, ordinal)).wait(),
        Some(behind) if behind > 0 => {
            doing(&format!("catching up, {behind} entries behind")).wait()
        }
        Some(_) if view.serving() + 1 < quorum(view.voters().len() + 1) => {
            doing("it votes once enough of the others are well").wait()
        }
        Some(_) if planted(Fault::NeverPromote) => doing("caught up").wait(),
        Some(_) => doing("making it a voter").with(Step::Promote { id: listed.id }),
    }
}

/// A pod of the former life. It may still have the former intent, and a server that joined by that
/// one would start over, without its data, when the new one comes: so it must be gone before the
/// place is listed.
fn former_pod<'a>(view: &View<'a>, ordinal: u32, member: &MemberRecord) -> Option<&'a Pod> {
    let pod = view.pod(ordinal)?;
    let is_known = member.former_pod.as_ref() == Some(&pod.uid);
    let is_older = pod.created.is_none_or(|created| {
        let ahead = created.duration_since(member.since);
        ahead <= SignedDuration::try_from(CLOCKS).unwrap_or_default()
    });
    (is_known || is_older).then_some(pod)
}

/// How far a learner that answers is behind what is asked of it, nine tenths of the leader's log
/// (etcd's rule, which the server holds too).
fn behind(view: &View<'_>, id: u64) -> Option<u64> {
    let own = view.status(id).filter(|status| status.leader != 0)?;
    let leader = view.status(view.leader()?)?;
    let wanted = leader.applied - leader.applied / 10;
    Some(wanted.saturating_sub(own.applied))
}

fn waiting(view: &View<'_>, ordinal: u32) -> String {
    let pod = view.pod(ordinal);
    if let Some(reason) = pod.and_then(|pod| pod.waiting.as_deref()) {
        return format!("its pod waits: {reason}");
    }
    let probe = view.seen.probes.get(&ordinal);
    match probe.and_then(|probe| probe.reason.as_deref()) {
        Some(reason) => format!("it says: {reason}"),
        None => "waiting for it to start".to_owned(),
    }
}

/// The next life of a place, to be added as a learner.
pub(crate) fn begin_life(view: &View<'_>, ordinal: u32) -> Step {
    view.write(|record| {
        let life = record.lives.entry(ordinal).or_default();
        let last = record
            .members
            .get(&ordinal)
            .map_or(0, |member| member.incarnation);
        *life = (*life).max(last) + 1;
        let member = MemberRecord {
            incarnation: *life,
            origin: Origin::Join,
            phase: MemberPhase::Adding,
            since: view.now(),
            former_pod: view.pod(ordinal).map(|pod| pod.uid.clone()),
            member_id: None,
            volume_uid: None,
        };
        record.members.insert(ordinal, member);
    })
}

/// The steps that take a listed member off the list; none once it is off. `Err` tells what to
/// wait for.
fn removal(view: &View<'_>, member: &MemberRecord) -> Result<Option<Step>, &'static str> {
    if view.agreed().is_none() {
        return Err("waiting for a quorum");
    }
    let Some(listed) = member.id().and_then(|id| view.by_id(id)) else {
        return Ok(None);
    };
    if !listed.learner && !view.can_remove(listed.id) {
        return Err("it stays until the others are a quorum without it");
    }
    if view.leader() == Some(listed.id) && view.serves(listed) {
        let moved = leader::away_from(view, listed.id);
        return moved
            .map(Some)
            .ok_or("it leads, and no other member can take over");
    }
    Ok(Some(Step::RemoveMember { id: listed.id }))
}

/// A voter that was to go, serves, and is needed because another one has failed meanwhile: it stays,
/// and the failed one is replaced first.
fn call_off(view: &View<'_>, ordinal: u32, member: &MemberRecord) -> Option<Step> {
    let listed = member.id().and_then(|id| view.by_id(id))?;
    let is_needed = view.serves(listed) && !view.can_remove(listed.id);
    let mut failures = failure::all(view).into_iter();
    let others = failures.any(|failure| failure.ordinal != ordinal && failure.repair);
    (is_needed && others).then(|| {
        view.write(|record| {
            if let Some(member) = record.members.get_mut(&ordinal) {
                member.phase = MemberPhase::Voter;
                member.since = view.now();
            }
        })
    })
}

/// A member that was to be added and is listed though its record has no id yet.
fn unnoted(view: &View<'_>, ordinal: u32, member: &MemberRecord) -> Option<Step> {
    let listed = view.at(ordinal).filter(|_| member.member_id.is_none())?;
    let id = format!("{:x}", listed.id);
    listed.learner.then(|| {
        view.write(|record| {
            if let Some(member) = record.members.get_mut(&ordinal) {
                member.member_id = Some(id);
            }
        })
    })
}

fn leave(view: &View<'_>, ordinal: u32, member: &MemberRecord) -> Next {
    let doing = |what: &str| shrinking(view, ordinal, member, what);
    if let Some(step) = unnoted(view, ordinal, member) {
        return doing("it is listed").with(step);
    }
    match removal(view, member) {
        Err(why) => match call_off(view, ordinal, member) {
            Some(step) => doing("it stays for now: another member has failed").with(step),
            None => doing(why).wait(),
        },
        Ok(Some(step @ Step::MoveLeader { .. })) => doing("moving the leadership away").with(step),
        Ok(Some(step)) => doing("removing it from the list").with(step),
        Ok(None) => {
            let step = view.write(|record| {
                if let Some(member) = record.members.get_mut(&ordinal) {
                    member.phase = MemberPhase::Removed;
                    member.since = view.now();
                }
            });
            doing("it is off the list").with(step)
        }
    }
}

/// Its pod goes with the number of replicas (`base`), then the volume by policy.
fn clear(view: &View<'_>, ordinal: u32, member: &MemberRecord) -> Next {
    let doing = |what: &str| shrinking(view, ordinal, member, what);
    if view.at(ordinal).is_some() {
        let what = "a member is listed at its URL again that is not known here";
        return doing(what).stalled(Reason::UnknownMember).wait();
    }
    let replicas = view
        .seen
        .workload
        .as_ref()
        .map_or(0, |workload| workload.replicas);
    if replicas > ordinal {
        return doing("waiting for a quorum to stop its pod").wait();
    }
    if view.pod(ordinal).is_some() {
        return doing("its pod is stopping").wait();
    }
    if let Some(volume) = view.volume(ordinal)
        && view.seen.spec.storage.when_scaled == Retention::Delete
    {
        if volume.deleting {
            return doing("its volume is going").wait();
        }
        let uid = volume.uid.clone();
        return doing("deleting its volume").with(Step::DeleteVolume { ordinal, uid });
    }
    let step = view.write(|record| {
        record.members.remove(&ordinal);
    });
    doing("it is gone").with(step)
}

/// Off the list, then pod and old volume away, then a new life.
fn replace(view: &View<'_>, ordinal: u32, member: &MemberRecord) -> Next {
    let doing = |what: &str| {
        let message = format!("{}: {what}", view.seen.cluster.member(ordinal));
        let replacing = activity(Phase::Repairing, Reason::Replacing, message);
        let late = view.age(member.since) > DEADLINE;
        if late {
            replacing.stalled(Reason::MemberStalled)
        } else {
            replacing
        }
    };
    let early = view
        .volume(ordinal)
        .filter(|volume| planted(Fault::DeleteEarly) && !volume.deleting);
    if let Some(volume) = early {
        let uid = volume.uid.clone();
        return doing("deleting its volume").with(Step::DeleteVolume { ordinal, uid });
    }
    match removal(view, member) {
        Err(why) => {
            return match call_off(view, ordinal, member) {
                Some(step) => doing("it stays for now: another member has failed").with(step),
                None => doing(why).wait(),
            };
        }
        Ok(Some(step @ Step::MoveLeader { .. })) => {
            return doing("moving the leadership away").with(step);
        }
        Ok(Some(step)) => return doing("removing it from the list").with(step),
        Ok(None) => {}
    }
    if view.at(ordinal).is_some() {
        let what = "another member is listed at its URL";
        return doing(what).stalled(Reason::UnknownMember).wait();
    }
    let old = view
        .volume(ordinal)
        .filter(|volume| member.volume_uid.as_ref() == Some(&volume.uid));
    if let Some(volume) = old {
        if !volume.deleting {
            let uid = volume.uid.clone();
            return doing("deleting its volume").with(Step::DeleteVolume { ordinal, uid });
        }
        // The claim goes once no pod holds it.
        return match view
            .pod(ordinal)
            .filter(|pod| !pod.deleting || pod.node_gone)
        {
            Some(pod) => doing("stopping its pod").with(Step::DeletePod {
                ordinal,
                uid: pod.uid.clone(),
                force: pod.node_gone,
            }),
            None => doing("its volume is going").wait(),
        };
    }
    doing("its old volume is gone").with(begin_life(view, ordinal))
}
