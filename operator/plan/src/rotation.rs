//! One CA takes over from another without a restart and without a moment in which two members do
//! not trust each other: trust both, issue anew, trust the new one only. Each stage waits until every
//! member has told that it has loaded what the stage before gave it.

use std::collections::BTreeSet;

use mainstay_operator_api::annotation;
use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;
use mainstay_operator_api::tls::TlsSource;

use crate::certificate::DAY;
use crate::observed::{Authority, Leaf, Plane};
use crate::record::{Rotation, RotationPhase};
use crate::step::{Step, TlsStep};
use crate::verdict::{Activity, Next, activity, quietly};
use crate::view::{DEADLINE, View};

/// A CA is exchanged this many times earlier than a certificate.
const EARLIER: u32 = 3;

pub(crate) fn next(view: &View<'_>) -> Next {
    let record = view.record()?;
    if view.seen.spec.tls.source != TlsSource::Operator {
        return None;
    }
    if let Some((plane, rotation)) = record.rotation.iter().next() {
        let authority = view.seen.tls.cas.get(plane)?;
        return resume(view, *plane, rotation, authority);
    }
    if !has_settled(view) {
        return None;
    }
    let asked = view.seen.cluster.annotations.get(annotation::ROTATE_CA);
    let asked = asked.filter(|text| record.obeyed.get(annotation::ROTATE_CA) != Some(text));
    if let Some(text) = asked {
        return begin(view, &Plane::ALL, Some(text.clone()));
    }
    let due = Plane::ALL.iter().find(|plane| is_due(view, **plane))?;
    begin(view, &[*due], None)
}

/// Whether nothing hinders a rotation: all members are well, or none runs.
fn has_settled(view: &View<'_>) -> bool {
    let sleeps = view.record().is_some_and(|record| record.hibernated) && view.seen.pods.is_empty();
    sleeps || view.is_settled() && view.all_serve()
}

/// The CA runs out, or another one signs than the one that certificates come from.
fn is_due(view: &View<'_>, plane: Plane) -> bool {
    let Some(authority) = view.seen.tls.cas.get(&plane) else {
        return false;
    };
    let before = DAY * view.seen.spec.tls.renew_before_days * EARLIER;
    let left = authority.signing.not_after.duration_since(view.now());
    let runs_out = left <= jiff::SignedDuration::try_from(before).unwrap_or_default();
    let leaves = leaves(plane);
    let mut leaves = leaves
        .iter()
        .filter_map(|leaf| view.seen.tls.leaves.get(leaf));
    runs_out || leaves.any(|leaf| leaf.issuer != authority.signing.fingerprint)
}

fn begin(view: &View<'_>, planes: &[Plane], obeyed: Option<String>) -> Next {
    let step = view.write(|record| {
        for plane in planes {
            let authority = view.seen.tls.cas.get(plane);
            let leaf = leaves(*plane)
                .into_iter()
                .find_map(|leaf| view.seen.tls.leaves.get(&leaf));
            // Without a wish, the CA that goes may be gone already: its certificates name it.
            let from = match (obeyed.as_ref(), authority, leaf) {
                (None, Some(authority), Some(leaf))
                    if leaf.issuer != authority.signing.fingerprint =>
                {
                    leaf.issuer.clone()
                }
                (_, Some(authority), _) => authority.signing.fingerprint.clone(),
                (_, None, _) => String::new(),
            };
            let rotation = Rotation {
                phase: RotationPhase::Trusting,
                since: view.now(),
                from,
            };
            record.rotation.insert(*plane, rotation);
        }
        if let Some(text) = obeyed {
            record.obeyed.insert(annotation::ROTATE_CA.to_owned(), text);
        }
    });
    doing("beginning to exchange the CA").with(step)
}

fn resume(view: &View<'_>, plane: Plane, rotation: &Rotation, authority: &Authority) -> Next {
    // A CA that has expired is trusted by nobody: there is nothing to wait for.
    let is_over = authority.signing.not_after <= view.now();
    let next = match rotation.phase {
        RotationPhase::Trusting => trust(view, plane, rotation, authority),
        RotationPhase::Reissuing => reissue(view, plane, rotation, authority),
        RotationPhase::Dropping => drop_old(view, plane, authority),
    };
    match next {
        Stage::Step(step, what) => doing(what).with(step),
        Stage::Tell(ordinals, value) => {
            doing("telling the members to look").with(Step::AnnotatePods {
                ordinals,
                key: annotation::POD_REFRESH.to_owned(),
                value,
            })
        }
        Stage::Wait(_) if is_over => after(view, plane, rotation),
        Stage::Wait(what) => {
            let waits = doing(what);
            let late = view.age(rotation.since) > DEADLINE;
            if late {
                waits.stalled(Reason::MemberStalled).wait()
            } else {
                waits.wait()
            }
        }
        Stage::Done => after(view, plane, rotation),
    }
}

enum Stage {
    Step(Step, &'static str),
    /// These pods have not been told to look yet.
    Tell(Vec<u32>, String),
    Wait(String),
    Done,
}

fn trust(view: &View<'_>, plane: Plane, rotation: &Rotation, authority: &Authority) -> Stage {
    let is_new = authority.signing.fingerprint != rotation.from;
    if authority.next.is_none() && !is_new {
        return Stage::Step(Step::Issue(TlsStep::StageCa(plane)), "making the next CA");
    }
    confirm(
        view,
        plane,
        |loaded| authority.bundle.is_subset(&loaded.bundle),
        "trust both CAs",
    )
}

fn reissue(view: &View<'_>, plane: Plane, rotation: &Rotation, authority: &Authority) -> Stage {
    if authority.next.is_some() && authority.signing.fingerprint == rotation.from {
        return Stage::Step(
            Step::Issue(TlsStep::SwitchCa(plane)),
            "letting the next CA sign",
        );
    }
    let all_new = leaves(plane).iter().all(|leaf| {
        let leaf = view.seen.tls.leaves.get(leaf);
        leaf.is_some_and(|leaf| leaf.issuer == authority.signing.fingerprint)
    });
    if !all_new {
        // `certificate` issues them, before this room is asked again.
        return Stage::Wait("certificates are being issued anew".to_owned());
    }
    let shown = leaves(plane)
        .into_iter()
        .find(|leaf| leaf.is_loaded_by_members());
    let shown = shown
        .and_then(|leaf| view.seen.tls.leaves.get(&leaf))
        .map(|leaf| leaf.fingerprint.clone());
    confirm(
        view,
        plane,
        |loaded| Some(&loaded.fingerprint) == shown.as_ref(),
        "show the new certificate",
    )
}

fn drop_old(view: &View<'_>, plane: Plane, authority: &Authority) -> Stage {
    let only = BTreeSet::from([authority.signing.fingerprint.clone()]);
    if authority.bundle != only || authority.next.is_some() {
        return Stage::Step(
            Step::Issue(TlsStep::DropCa(plane)),
            "trusting the new CA only",
        );
    }
    confirm(
        view,
        plane,
        |loaded| loaded.bundle == only,
        "trust the new CA only",
    )
}

/// Whether every member has loaded what the Secrets hold by now.
fn confirm(
    view: &View<'_>,
    plane: Plane,
    is_done: impl Fn(&crate::observed::Loaded) -> bool,
    what: &str,
) -> Stage {
    let places = view.places();
    let with_pods = places
        .iter()
        .filter(|(_, member)| member.has_pod())
        .map(|(ordinal, _)| *ordinal);
    let mut ordinals: BTreeSet<u32> = view.seen.pods.keys().copied().collect();
    if !view.record().is_some_and(|record| record.hibernated) {
        ordinals.extend(with_pods);
    }
    let late: Vec<u32> = ordinals
        .into_iter()
        .filter(|ordinal| {
            let loaded = view
                .seen
                .tls
                .loaded
                .get(ordinal)
                .and_then(|planes| planes.get(&plane));
            !loaded.is_some_and(&is_done)
        })
        .collect();
    if late.is_empty() {
        return Stage::Done;
    }
    let value = stamp(view, plane);
    let untold: Vec<u32> = late
        .iter()
        .filter(|ordinal| {
            let pod = view.pod(**ordinal).filter(|pod| !pod.deleting);
            pod.is_some_and(|pod| pod.annotations.get(annotation::POD_REFRESH) != Some(&value))
        })
        .copied()
        .collect();
    if !untold.is_empty() {
        return Stage::Tell(untold, value);
    }
    let names: Vec<String> = late
        .iter()
        .map(|ordinal| view.seen.cluster.member(*ordinal))
        .collect();
    Stage::Wait(format!("waiting until {} {what}", names.join(", ")))
}

/// Another text for every stage of every rotation.
fn stamp(view: &View<'_>, plane: Plane) -> String {
    let rotation = view.record().and_then(|record| record.rotation.get(&plane));
    match rotation {
        Some(rotation) => format!(
            "{plane:?}-{:?}-{}",
            rotation.phase,
            rotation.since.as_second()
        )
        .to_lowercase(),
        None => String::new(),
    }
}

fn after(view: &View<'_>, plane: Plane, rotation: &Rotation) -> Next {
    let following = match rotation.phase {
        RotationPhase::Trusting => Some(RotationPhase::Reissuing),
        RotationPhase::Reissuing => Some(RotationPhase::Dropping),
        RotationPhase::Dropping => None,
    };
    quietly(view.write(|record| match following {
        Some(phase) => {
            let from = rotation.from.clone();
            let since = view.now();
            record
                .rotation
                .insert(plane, Rotation { phase, since, from });
        }
        None => {
            record.rotation.remove(&plane);
        }
    }))
}

fn leaves(plane: Plane) -> Vec<Leaf> {
    let leaves = Leaf::ALL.into_iter();
    leaves.filter(|leaf| leaf.plane() == plane).collect()
}

fn doing(message: impl Into<String>) -> Activity {
    activity(Phase::Rotating, Reason::Rotating, message)
}
