//! What needs attention, whatever the planner is at: the reasons of `Degraded`.

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::recovery::Repair;

use crate::observed::{AlarmKind, PodPhase};
use crate::record::MemberPhase;
use crate::view::View;
use crate::{failure, version};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub reason: Reason,
    pub message: String,
}

fn finding(reason: Reason, message: impl Into<String>) -> Finding {
    Finding {
        reason,
        message: message.into(),
    }
}

/// The gravest first.
pub(crate) fn all(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let problems = view.seen.problems.iter();
    findings.extend(problems.map(|problem| finding(problem.reason, problem.message.as_str())));
    findings.extend(damaged(view));
    findings.extend(space(view));
    findings.extend(version::refused(view).map(|why| finding(Reason::VersionRefused, why)));
    findings.extend(unknown(view));
    let failures = failure::all(view);
    for failure in &failures {
        let name = view.seen.cluster.member(failure.ordinal);
        let advice = match failure.repair {
            true => String::new(),
            false => format!(
                ". Look into it, or have it replaced with the annotation \
                 mainstay.dev/replace-member: \"{}:{}\"",
                failure.ordinal,
                life(view, failure.ordinal)
            ),
        };
        findings.push(finding(
            failure.reason,
            format!("{name}: {}{advice}", failure.message),
        ));
    }
    let known: Vec<u32> = failures.iter().map(|failure| failure.ordinal).collect();
    findings.extend(absent(view, &known));
    findings
}

fn life(view: &View<'_>, ordinal: u32) -> u64 {
    view.places()
        .get(&ordinal)
        .map_or(0, |member| member.incarnation)
}

/// The file was brought to the member, and is no whole snapshot.
fn damaged(view: &View<'_>) -> Option<Finding> {
    view.record()?.restoring()?;
    let mut probes = view.seen.probes.iter();
    let (ordinal, probe) = probes.find(|(_, probe)| probe.cannot_restore())?;
    let name = view.seen.cluster.member(*ordinal);
    let message = format!(
        "{name}: {}. Put a whole snapshot into its place and delete the pod, or delete the cluster \
         and name another backup",
        probe.reason.as_deref().unwrap_or_default()
    );
    Some(finding(Reason::RestoreFailed, message))
}

fn space(view: &View<'_>) -> Option<Finding> {
    let members = view.members()?;
    let full = members
        .list
        .iter()
        .filter(|member| view.has_alarm(member.id, AlarmKind::NoSpace));
    let names: Vec<&str> = full.map(|member| member.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let advice = match view.seen.spec.recovery.no_space {
        Repair::Automatic => {
            "the history is compacted; if that does not free enough, delete keys or raise spec.quota"
        }
        Repair::Manual => {
            "compact, delete keys or raise spec.quota, then lift the alarm with etcdctl alarm disarm"
        }
    };
    Some(finding(
        Reason::SpaceExhausted,
        format!(
            "the store takes no more writes (NOSPACE on {}): {advice}",
            names.join(", ")
        ),
    ))
}

/// Listed members that are of no place in the record.
fn unknown(view: &View<'_>) -> Option<Finding> {
    let record = view.record()?;
    let list = &view.agreed()?.list;
    record.cluster_id.as_ref()?;
    let ids: Vec<u64> = record
        .members
        .values()
        .filter_map(|member| member.id())
        .collect();
    let adding = record
        .members
        .iter()
        .filter(|(_, member)| member.phase == MemberPhase::Adding);
    let adding: Vec<u32> = adding.map(|(ordinal, _)| *ordinal).collect();
    let foreign = list.iter().filter(|member| {
        let is_expected = view
            .ordinal(member)
            .is_some_and(|ordinal| adding.contains(&ordinal));
        !ids.contains(&member.id) && !is_expected
    });
    let foreign: Vec<String> = foreign
        .map(|member| format!("{:x} ({})", member.id, member.peer_urls.join(" ")))
        .collect();
    (!foreign.is_empty()).then(|| {
        finding(
            Reason::UnknownMember,
            format!(
                "members that the operator has not added: {}. Remove them with etcdctl member remove, \
                 or nothing about members is changed",
                foreign.join(", ")
            ),
        )
    })
}

/// Voters that do not serve, though nothing worse is known of them.
fn absent(view: &View<'_>, known: &[u32]) -> Vec<Finding> {
    let Some(record) = view
        .record()
        .filter(|record| !record.hibernated && record.cluster_id.is_some())
    else {
        return Vec::new();
    };
    let voters = record.members.iter().filter(|(ordinal, member)| {
        let votes = matches!(
            member.phase,
            MemberPhase::Voter | MemberPhase::Bootstrapping
        );
        votes && !known.contains(ordinal)
    });
    let absent =
        voters.filter(|(ordinal, _)| !view.at(**ordinal).is_some_and(|member| view.serves(member)));
    absent
        .map(|(ordinal, _)| {
            let name = view.seen.cluster.member(*ordinal);
            finding(
                Reason::MemberUnavailable,
                format!("{name}: {}", trouble(view, *ordinal)),
            )
        })
        .collect()
}

/// What keeps the member at `ordinal` from serving.
pub(crate) fn trouble(view: &View<'_>, ordinal: u32) -> String {
    let Some(pod) = view.pod(ordinal) else {
        return "it has no pod".to_owned();
    };
    if pod.deleting {
        return "its pod is stopping".to_owned();
    }
    if let Some(reason) = &pod.waiting {
        return format!("its pod waits: {reason}");
    }
    if pod.phase != PodPhase::Running {
        return format!("its pod is {:?}", pod.phase).to_lowercase();
    }
    let probe = view.seen.probes.get(&ordinal);
    match probe.and_then(|probe| probe.reason.as_deref()) {
        Some(reason) => format!("it says: {reason}"),
        None if !pod.ready => "its pod is not ready".to_owned(),
        None => "it does not answer, or has no leader".to_owned(),
    }
}
