//! What people are told: always of the whole cluster, whatever the one step is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use mainstay_operator_api::quantity::Bytes;
use mainstay_operator_api::status::{MainstayClusterStatus, MemberStatus, Phase};

use crate::condition;
use crate::finding::{self, Finding};
use crate::observed::TlsView;
use crate::quorum::{self, Quorum};
use crate::record::MemberRecord;
use crate::verdict::Verdict;
use crate::view::View;

pub(crate) fn of(view: &View<'_>, verdict: Option<&Verdict>) -> MainstayClusterStatus {
    let findings = finding::all(view);
    let quorum = quorum::of(view);
    let former = view.seen.status.as_ref();
    let serving = view.serving();
    let asked = view.seen.spec.replicas;
    let record = view.record();
    let listed = view.agreed().map(|members| members.list.len());
    let written = record.map_or(0, |record| record.members.len());
    let conditions = condition::all(view, verdict, &findings, &quorum);
    MainstayClusterStatus {
        observed_generation: generation(view, verdict),
        phase: Some(phase(
            verdict,
            &findings,
            &quorum,
            former.and_then(|status| status.phase),
        )),
        ready: Some(format!("{serving}/{asked}")),
        replicas: small(listed.unwrap_or(written)),
        ready_replicas: small(serving),
        selector: Some(format!(
            "app.kubernetes.io/name=mainstay,app.kubernetes.io/instance={}",
            view.seen.cluster.name
        )),
        cluster_id: record
            .and_then(|record| record.cluster_id.clone())
            .or_else(|| former.and_then(|status| status.cluster_id.clone())),
        leader: leader(view),
        version: record.and_then(|record| record.version.clone()),
        db_size: largest(view).map(|bytes| Bytes(bytes).to_string()),
        certificates_until: first_expiry(&view.seen.tls)
            .map(|at| at.strftime("%Y-%m-%d").to_string()),
        recoveries: record.map_or(0, |record| record.recoveries),
        members: members(view),
        conditions,
    }
}

/// The generation of the spec that the status is about. As long as it is not known what follows from
/// the newest one (a step that nobody hears of comes first, or Kubernetes has not looked at the
/// template), the status is still about the former: or it would be ready before anything was done.
pub(crate) fn generation(view: &View<'_>, verdict: Option<&Verdict>) -> Option<i64> {
    let is_quiet = verdict.is_some_and(|verdict| verdict.activity.is_none());
    let workload = view.seen.workload.as_ref();
    let is_unseen = workload.is_some_and(|workload| workload.update_revision.is_empty());
    let former = view.seen.status.as_ref();
    match is_quiet || is_unseen {
        true => former.and_then(|status| status.observed_generation),
        false => Some(view.seen.cluster.generation),
    }
}

fn small(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn phase(
    verdict: Option<&Verdict>,
    findings: &[Finding],
    quorum: &Quorum,
    former: Option<Phase>,
) -> Phase {
    let activity = verdict.and_then(|verdict| verdict.activity.as_ref());
    match (activity, quorum) {
        (Some(activity), _) => activity.phase,
        (None, Quorum::PodsDown(_) | Quorum::VolumesLost(_)) => Phase::QuorumLost,
        (None, Quorum::Unknown(_)) => Phase::Unknown,
        (None, Quorum::NotWanted) if verdict.is_some() => Phase::Pending,
        (None, _) if !findings.is_empty() => Phase::Degraded,
        // What was under way goes on: see `condition::unless_quiet`.
        (None, _) if verdict.is_some() => former.unwrap_or(Phase::Running),
        (None, _) => Phase::Running,
    }
}

fn leader(view: &View<'_>) -> Option<String> {
    let id = view.leader()?;
    let member = view.by_id(id)?;
    Some(member.name.clone())
}

fn largest(view: &View<'_>) -> Option<u64> {
    let statuses = view.members()?.status.values();
    statuses.map(|status| status.db_size).max()
}

/// CAs and certificates alike.
pub(crate) fn first_expiry(tls: &TlsView) -> Option<jiff::Timestamp> {
    let cas = tls
        .cas
        .values()
        .map(|authority| authority.signing.not_after);
    let leaves = tls.leaves.values().map(|certificate| certificate.not_after);
    cas.chain(leaves).min()
}

fn members(view: &View<'_>) -> Vec<MemberStatus> {
    let places = view.places().into_iter();
    places
        .map(|(ordinal, member)| row(view, ordinal, member))
        .collect()
}

fn row(view: &View<'_>, ordinal: u32, member: &MemberRecord) -> MemberStatus {
    let id = member.id();
    let status = id.and_then(|id| view.status(id));
    let listed = id.and_then(|id| view.by_id(id));
    let serves = listed.is_some_and(|listed| view.serves(listed));
    let leader = view.leader();
    let role = match (status, listed) {
        (None, _) => "none",
        (Some(_), _) if id == leader => "leader",
        (Some(status), listed) if status.learner || listed.is_some_and(|listed| listed.learner) => {
            "learner"
        }
        (Some(status), _) if status.leader == 0 => "none",
        (Some(_), _) => "follower",
    };
    let ahead = leader
        .and_then(|leader| view.status(leader))
        .map(|status| status.applied);
    let lag = status.and_then(|status| Some(ahead?.saturating_sub(status.applied)));
    let wanted = !view.record().is_some_and(|record| record.hibernated);
    MemberStatus {
        name: view.seen.cluster.member(ordinal),
        id: member.member_id.clone(),
        role: Some(role.to_owned()),
        ready: serves,
        phase: Some(format!("{:?}", member.phase)),
        incarnation: member.incarnation,
        version: status.map(|status| status.version.clone()),
        updated: view.pod(ordinal).is_some_and(|pod| !view.is_outdated(pod)),
        lag: lag.and_then(|lag| i64::try_from(lag).ok()),
        db_size: status.and_then(|status| i64::try_from(status.db_size).ok()),
        certificates_until: first_expiry(&view.seen.tls).map(Time),
        message: (!serves && wanted).then(|| finding::trouble(view, ordinal)),
    }
}
