//! Whether a quorum can be reached, and what kind of loss it is if not. Without one, nothing about
//! members is changed.

use std::time::Duration;

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;

use crate::fault::{Fault, planted};
use crate::observed::{MemberView, PodPhase};
use crate::record::MemberPhase;
use crate::verdict::{Next, activity};
use crate::view::{DEADLINE, View, quorum};

/// How long a majority of volumes must be gone before a recovery may begin by itself.
pub(crate) const LOST_FOR: Duration = Duration::from_secs(300);

/// What is known of a cluster that should have a quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Quorum {
    /// Nothing is formed, or nothing shall run.
    NotWanted,
    Present,
    /// Pods are ready and yet nobody could be asked: the fault may be the operator's own.
    Unknown(String),
    /// Too few serve, and enough volumes are there: it comes back with its pods.
    PodsDown(String),
    /// The volumes of so many are gone that the others are no quorum.
    VolumesLost(String),
}

pub(crate) fn of(view: &View<'_>) -> Quorum {
    let Some(record) = view.record() else {
        return Quorum::NotWanted;
    };
    if record.cluster_id.is_none() || record.hibernated || record.recovery.is_some() {
        return Quorum::NotWanted;
    }
    if view.agreed().is_some() {
        return Quorum::Present;
    }
    let voters = voters(view);
    let kept = voters
        .iter()
        .filter(|ordinal| !has_lost_its_volume(view, **ordinal))
        .count();
    let needed = quorum(voters.len());
    if kept < needed {
        let lost: Vec<String> = voters
            .iter()
            .filter(|ordinal| has_lost_its_volume(view, **ordinal))
            .map(|ordinal| view.seen.cluster.member(*ordinal))
            .collect();
        return Quorum::VolumesLost(format!(
            "the volumes of {} are gone: {kept} of {} voters have their data, {needed} are needed. \
             Nothing is changed. Restore a backup into a new cluster, or make a cluster out of a \
             survivor with the annotation mainstay.dev/recover-quorum: \"{}\"",
            lost.join(", "),
            voters.len(),
            record.recoveries
        ));
    }
    let up = voters
        .iter()
        .filter(|ordinal| view.pod(**ordinal).is_some_and(|pod| pod.ready));
    let up = up.count();
    if up >= needed {
        let why = match &view.seen.members {
            MemberView::Unknown(why) => why.clone(),
            MemberView::Known(members) if view.members().is_none() => {
                format!(
                    "cluster {:x} answers, which is not the one that was formed",
                    members.cluster_id
                )
            }
            MemberView::Known(_) => "no member answers a linearizable read".to_owned(),
        };
        return Quorum::Unknown(format!("{up} pods are ready, but {why}"));
    }
    Quorum::PodsDown(format!(
        "{up} of {} voters have a ready pod, {needed} are needed; their volumes are there, so the \
         cluster comes back with its pods. Nothing is changed",
        voters.len()
    ))
}

/// The places that vote: as the members that answer believe, or else by what is written down.
pub(crate) fn voters(view: &View<'_>) -> Vec<u32> {
    let places = view.places();
    if let Some(members) = view.members() {
        let votes = |ordinal: &u32| {
            let url = view.seen.cluster.peer_url(*ordinal);
            let mut rows = members.list.iter().filter(|member| !member.learner);
            rows.any(|member| member.peer_urls.contains(&url))
        };
        return places.into_keys().filter(votes).collect();
    }
    let votes = |phase: MemberPhase| {
        matches!(
            phase,
            MemberPhase::Bootstrapping
                | MemberPhase::Voter
                | MemberPhase::Leaving
                | MemberPhase::Replacing
        )
    };
    let voters = places.into_iter().filter(|(_, member)| votes(member.phase));
    voters.map(|(ordinal, _)| ordinal).collect()
}

/// Only what is sure counts: another claim than the one the member wrote to, or what it says itself.
pub(crate) fn has_lost_its_volume(view: &View<'_>, ordinal: u32) -> bool {
    let place = view.places().get(&ordinal).copied();
    let known = place.and_then(|member| member.volume_uid.as_ref());
    let volume = view.volume(ordinal);
    let is_other = match (known, volume) {
        (Some(known), Some(volume)) => *known != volume.uid || volume.lost,
        (None, Some(volume)) => volume.lost,
        (_, None) => false,
    };
    let has_voted = place.is_some_and(|member| {
        matches!(
            member.phase,
            MemberPhase::Voter | MemberPhase::Leaving | MemberPhase::Replacing
        )
    });
    let probe = view.seen.probes.get(&ordinal);
    let says_so = probe
        .is_some_and(|probe| probe.has_lost_its_data() || has_voted && probe.looks_for_a_cluster());
    is_other || says_so || is_unseated(view, ordinal)
}

/// It runs, and in all the time since the others formed the cluster it has not taken its seat: its
/// directory is not the one it had then.
fn is_unseated(view: &View<'_>, ordinal: u32) -> bool {
    let formed = view
        .record()
        .is_some_and(|record| record.cluster_id.is_some());
    let place = view.places().get(&ordinal).copied();
    let Some(member) = place.filter(|member| formed && member.is_forming()) else {
        return false;
    };
    let runs = view
        .pod(ordinal)
        .is_some_and(|pod| pod.phase == PodPhase::Running && !pod.is_down());
    let answers = member.id().is_some_and(|id| view.status(id).is_some());
    runs && !answers && view.age(member.since) > DEADLINE
}

/// Without a quorum this is where a pass ends.
pub(crate) fn next(view: &View<'_>) -> Next {
    if planted(Fault::ActBlindly) {
        return None;
    }
    let (reason, message) = match of(view) {
        Quorum::NotWanted | Quorum::Present => return None,
        Quorum::Unknown(message) => {
            return activity(Phase::Unknown, Reason::StateUnknown, message)
                .stalled(Reason::StateUnknown)
                .wait();
        }
        Quorum::PodsDown(message) => (Reason::PodsDown, message),
        Quorum::VolumesLost(message) => (Reason::VolumesLost, message),
    };
    activity(Phase::QuorumLost, reason, message)
        .stalled(reason)
        .wait()
}
