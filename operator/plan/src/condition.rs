//! The six conditions. What cannot be seen is Unknown, never True.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use mainstay_operator_api::condition::{ConditionType, Reason};
use mainstay_operator_api::status::Phase;
use mainstay_operator_api::tls::TlsSource;

use crate::certificate::DAY;
use crate::finding::Finding;
use crate::observed::{AuthView, Leaf, MemberView};
use crate::quorum::Quorum;
use crate::status::{first_expiry, generation};
use crate::verdict::{Activity, Verdict};
use crate::view::View;
use crate::volume;

struct Said {
    status: &'static str,
    reason: Reason,
    message: String,
}

fn said(status: &'static str, reason: Reason, message: impl Into<String>) -> Said {
    Said {
        status,
        reason,
        message: message.into(),
    }
}

pub(crate) fn all(
    view: &View<'_>,
    verdict: Option<&Verdict>,
    findings: &[Finding],
    quorum: &Quorum,
) -> Vec<Condition> {
    let activity = verdict.and_then(|verdict| verdict.activity.as_ref());
    let available = available(view, activity, quorum);
    let progressing = progressing(view, verdict);
    let degraded = degraded(activity, findings, quorum);
    let tls = tls(view);
    let lost = lost(quorum);
    let ready = ready(view, verdict, &[&available, &degraded, &tls]);
    let mut rows = vec![
        (ConditionType::Available, available),
        (ConditionType::Progressing, progressing),
        (ConditionType::Degraded, degraded),
        (ConditionType::TlsReady, tls),
        (ConditionType::QuorumLost, lost),
        (ConditionType::Ready, ready),
    ];
    let generation = generation(view, verdict);
    rows.drain(..)
        .map(|(kind, said)| row(view, kind, said, generation))
        .map(|row| unless_quiet(view, verdict, row))
        .collect()
}

/// A step that nobody hears of may be one of many that belong together. Between them the cluster is
/// not called ready: what was under way still is, and the next pass says whether it has ended.
fn unless_quiet(view: &View<'_>, verdict: Option<&Verdict>, row: Condition) -> Condition {
    let is_quiet = verdict.is_some_and(|verdict| verdict.activity.is_none());
    let says_done = match row.type_.as_str() {
        "Ready" => row.status == "True",
        "Progressing" => row.status == "False",
        _ => false,
    };
    let former = view.seen.status.as_ref();
    let former = former.filter(|_| is_quiet && says_done);
    let mut former = former.into_iter().flat_map(|status| &status.conditions);
    let same = former.find(|condition| condition.type_ == row.type_);
    same.cloned().unwrap_or(row)
}

/// The time is that of the last change of the status, as `kubectl wait` expects.
fn row(view: &View<'_>, kind: ConditionType, said: Said, generation: Option<i64>) -> Condition {
    let former = view
        .seen
        .status
        .iter()
        .flat_map(|status| &status.conditions);
    let former = former
        .into_iter()
        .find(|condition| condition.type_ == kind.to_string());
    let same = former.filter(|condition| condition.status == said.status);
    let since = match (kind, same) {
        // The kind of loss counts: a recovery may wait for it.
        (ConditionType::QuorumLost, Some(condition))
            if condition.reason != said.reason.to_string() =>
        {
            None
        }
        (_, same) => same.map(|condition| condition.last_transition_time.clone()),
    };
    Condition {
        type_: kind.to_string(),
        status: said.status.to_owned(),
        reason: said.reason.to_string(),
        message: said.message,
        observed_generation: generation,
        last_transition_time: since.unwrap_or(Time(view.now())),
    }
}

fn available(view: &View<'_>, activity: Option<&Activity>, quorum: &Quorum) -> Said {
    match quorum {
        Quorum::Present => said(
            "True",
            Reason::QuorumServes,
            // Members may answer before Kubernetes calls their pods ready.
            format!(
                "a quorum serves, {} of {} voters are ready",
                view.serving(),
                view.voters().len()
            ),
        ),
        Quorum::Unknown(why) => said("Unknown", Reason::StateUnknown, why.as_str()),
        Quorum::PodsDown(why) => said("False", Reason::PodsDown, why.as_str()),
        Quorum::VolumesLost(why) => said("False", Reason::VolumesLost, why.as_str()),
        Quorum::NotWanted => match activity {
            Some(activity) => said("False", activity.reason, activity.message.as_str()),
            None => said("False", Reason::Bootstrapping, "nothing is formed yet"),
        },
    }
}

fn progressing(view: &View<'_>, verdict: Option<&Verdict>) -> Said {
    let activity = verdict.and_then(|verdict| verdict.activity.as_ref());
    match activity {
        Some(activity) if is_rest(activity) => {
            said("False", activity.reason, activity.message.as_str())
        }
        Some(activity) => {
            let status = if activity.stalled { "False" } else { "True" };
            said(status, activity.reason, activity.message.as_str())
        }
        None => match volume::pending(view) {
            Some(growing) => said("True", Reason::Resizing, growing),
            None => said("False", Reason::AsAsked, "nothing is under way"),
        },
    }
}

/// States that last.
fn is_rest(activity: &Activity) -> bool {
    matches!(activity.phase, Phase::Hibernated | Phase::Paused)
}

fn degraded(activity: Option<&Activity>, findings: &[Finding], quorum: &Quorum) -> Said {
    match quorum {
        Quorum::Unknown(why) => return said("Unknown", Reason::StateUnknown, why.as_str()),
        Quorum::PodsDown(why) => return said("True", Reason::PodsDown, why.as_str()),
        Quorum::VolumesLost(why) => return said("True", Reason::VolumesLost, why.as_str()),
        Quorum::NotWanted | Quorum::Present => {}
    }
    let stalled = activity.filter(|activity| activity.stalled);
    let mut reasons: Vec<(Reason, &str)> = findings
        .iter()
        .map(|finding| (finding.reason, finding.message.as_str()))
        .collect();
    reasons.extend(stalled.map(|activity| (activity.reason, activity.message.as_str())));
    let Some((reason, _)) = reasons.first().copied() else {
        return said("False", Reason::AsAsked, "all members are well");
    };
    let mut messages: Vec<&str> = Vec::new();
    for (_, message) in reasons {
        if !messages.contains(&message) {
            messages.push(message);
        }
    }
    said("True", reason, messages.join("; "))
}

fn tls(view: &View<'_>) -> Said {
    let wanted: &[Leaf] = match view.seen.spec.tls.source {
        TlsSource::Operator => &Leaf::ALL,
        TlsSource::CertManager | TlsSource::Secrets => &[Leaf::Server, Leaf::Peer, Leaf::Operator],
    };
    if let Some(lacks) = &view.seen.tls.lacks {
        return said("False", Reason::SecretMissing, lacks.as_str());
    }
    if wanted
        .iter()
        .any(|leaf| !view.seen.tls.leaves.contains_key(leaf))
    {
        return said(
            "False",
            Reason::CertificatesPending,
            "certificates are being issued",
        );
    }
    let Some(first) = first_expiry(&view.seen.tls) else {
        return said(
            "False",
            Reason::CertificatesPending,
            "certificates are being issued",
        );
    };
    let until = first.strftime("%Y-%m-%d");
    if first <= view.now() {
        return said(
            "False",
            Reason::CertificatesExpired,
            format!("a certificate has expired on {until}"),
        );
    }
    let soon = jiff::SignedDuration::try_from(DAY * 7).unwrap_or_default();
    if first.duration_since(view.now()) <= soon && view.seen.spec.tls.source != TlsSource::Operator
    {
        let message = format!("a certificate expires on {until}: renew it in its Secret");
        return said("True", Reason::CertificatesExpiring, message);
    }
    said(
        "True",
        Reason::CertificatesValid,
        format!("valid until {until}"),
    )
}

fn lost(quorum: &Quorum) -> Said {
    match quorum {
        Quorum::Present => said("False", Reason::QuorumServes, "a quorum serves"),
        Quorum::NotWanted => said("False", Reason::AsAsked, "no quorum is wanted now"),
        Quorum::Unknown(why) => said("Unknown", Reason::StateUnknown, why.as_str()),
        Quorum::PodsDown(why) => said("True", Reason::PodsDown, why.as_str()),
        Quorum::VolumesLost(why) => said("True", Reason::VolumesLost, why.as_str()),
    }
}

/// Available, not degraded, TLS ready, and nothing left to do.
fn ready(view: &View<'_>, verdict: Option<&Verdict>, others: &[&Said; 3]) -> Said {
    let [available, degraded, tls] = others;
    if matches!(view.seen.members, MemberView::Unknown(_)) && available.status == "Unknown" {
        return said("Unknown", available.reason, available.message.as_str());
    }
    if available.status != "True" {
        return said("False", available.reason, available.message.as_str());
    }
    if degraded.status != "False" {
        return said("False", degraded.reason, degraded.message.as_str());
    }
    if tls.status != "True" {
        return said("False", tls.reason, tls.message.as_str());
    }
    if view.seen.spec.auth.is_some() && view.seen.auth != AuthView::Enabled {
        let message = "authentication is not switched on yet";
        return said("False", Reason::WaitingForMembers, message);
    }
    let activity = verdict.and_then(|verdict| verdict.activity.as_ref());
    match activity {
        Some(activity) if activity.phase != Phase::Running => {
            said("False", activity.reason, activity.message.as_str())
        }
        _ => said("True", Reason::AsAsked, "all is as asked for"),
    }
}
