//! Pods of an older template are renewed one by one.
//!
//! Those that take no part come first, then followers from the highest place down, and the leader
//! last, after its leadership has moved to a renewed member. A renewed pod that does not come up
//! stops it all; so a template that was put back is rolled out beginning with that very pod.

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;

use crate::fault::{Fault, planted};
use crate::leader;
use crate::observed::Pod;
use crate::step::Step;
use crate::verdict::{Activity, Next, activity};
use crate::view::{DEADLINE, View};

/// A pod of an older template in which nothing runs is made anew at any time, as nothing is lost by
/// it: a mended template must reach the members that could not start under the broken one.
pub(crate) fn mend(view: &View<'_>) -> Next {
    let knows = view.agreed().is_some() || view.record()?.cluster_id.is_none();
    let mut stuck = view.seen.pods.iter().filter(|(ordinal, pod)| {
        let is_down = pod.has_never_started() || knows && pod.is_down();
        view.is_outdated(pod) && !pod.deleting && is_down && !view.takes_part(**ordinal)
    });
    let (ordinal, pod) = stuck.next()?;
    let name = view.seen.cluster.member(*ordinal);
    let doing = rolling(format!(
        "{name}: making the pod anew from the present template"
    ));
    doing.with(delete(*ordinal, pod))
}

pub(crate) fn next(view: &View<'_>) -> Next {
    let outdated: Vec<(u32, &Pod)> = places(view)
        .filter(|(_, pod)| view.is_outdated(pod))
        .collect();
    let renewed = places(view).filter(|(_, pod)| !view.is_outdated(pod));
    let behind =
        renewed.filter(|(ordinal, _)| !view.at(*ordinal).is_some_and(|member| view.serves(member)));
    let behind: Vec<(u32, &Pod)> = behind.collect();
    if outdated.is_empty() {
        return None;
    }
    if let Some((ordinal, pod)) = behind.first().filter(|_| !planted(Fault::StopUnguarded)) {
        return await_renewed(view, *ordinal, pod);
    }
    let idle = outdated
        .iter()
        .find(|(ordinal, _)| !view.takes_part(*ordinal));
    if let Some((ordinal, pod)) = idle {
        if pod.deleting {
            return rolling("waiting for a pod to stop".to_owned()).wait();
        }
        let name = view.seen.cluster.member(*ordinal);
        return rolling(format!("{name}: renewing the pod, which takes no part"))
            .with(delete(*ordinal, pod));
    }
    let is_well = view.is_settled() && view.all_serve();
    if !is_well && !planted(Fault::StopUnguarded) {
        return rolling("waiting until all members are well".to_owned()).wait();
    }
    follower(view, &outdated).or_else(|| leader_last(view, &outdated))
}

/// A template that was just written may be one that pods are to be renewed for: nothing is called
/// done before that is known.
pub(crate) fn unread(view: &View<'_>) -> Next {
    let workload = view.seen.workload.as_ref()?;
    let is_unread = workload.update_revision.is_empty();
    is_unread
        .then(|| rolling("waiting until the StatefulSet's template is taken up".to_owned()))
        .and_then(|rolling| rolling.wait())
}

fn follower(view: &View<'_>, outdated: &[(u32, &Pod)]) -> Next {
    let leader = view.leader()?;
    let mut followers = outdated.iter().rev().filter_map(|(ordinal, pod)| {
        let member = view.at(*ordinal).filter(|member| member.id != leader)?;
        Some((*ordinal, *pod, member.id))
    });
    let (ordinal, pod, id) = followers.next()?;
    renew(view, ordinal, pod, id)
}

fn leader_last(view: &View<'_>, outdated: &[(u32, &Pod)]) -> Next {
    let leader = view.leader()?;
    let (ordinal, pod) = outdated.first().copied()?;
    let name = view.seen.cluster.member(ordinal);
    match leader::away_from(view, leader) {
        Some(step) => rolling(format!("{name}: moving the leadership away")).with(step),
        // A cluster of one has nobody to hand over to.
        None if view.voters().len() == 1 => renew(view, ordinal, pod, leader),
        None => rolling(format!("{name} leads, and no other member can take over")).wait(),
    }
}

fn renew(view: &View<'_>, ordinal: u32, pod: &Pod, id: u64) -> Next {
    let name = view.seen.cluster.member(ordinal);
    if !view.can_stop(id) {
        return rolling(format!("{name} is renewed once the others are a quorum")).wait();
    }
    rolling(format!("{name}: renewing the pod")).with(delete(ordinal, pod))
}

fn await_renewed(view: &View<'_>, ordinal: u32, pod: &Pod) -> Next {
    let name = view.seen.cluster.member(ordinal);
    let since = pod.unready_since.or(pod.created);
    let late = since.is_some_and(|since| view.age(since) > DEADLINE);
    if late {
        let message = format!(
            "{name} was renewed and has not become healthy; no further pod is touched. Mend the \
             spec, or put the former one back"
        );
        return rolling(message).stalled(Reason::RolloutStalled).wait();
    }
    rolling(format!("waiting for {name}, which was renewed")).wait()
}

fn rolling(message: String) -> Activity {
    activity(Phase::Upgrading, Reason::RollingOut, message)
}

fn delete(ordinal: u32, pod: &Pod) -> Step {
    Step::DeletePod {
        ordinal,
        uid: pod.uid.clone(),
        force: false,
    }
}

/// Pods of places in the record.
fn places<'a>(view: &View<'a>) -> impl Iterator<Item = (u32, &'a Pod)> {
    let places = view.places();
    let pods = view.seen.pods.iter();
    pods.filter(move |(ordinal, _)| places.contains_key(ordinal))
        .map(|(ordinal, pod)| (*ordinal, pod))
}
