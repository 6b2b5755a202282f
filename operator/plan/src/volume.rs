//! Volumes that shall be larger. Each claim is grown in place; then the StatefulSet, whose template
//! of claims cannot be changed, is made anew around its pods.

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::quantity::Bytes;
use mainstay_operator_api::status::Phase;
use mainstay_operator_api::storage::Retention;

use crate::step::Step;
use crate::verdict::{Activity, Next, activity, quietly};
use crate::view::View;

fn resizing(message: String) -> Activity {
    activity(Phase::Resizing, Reason::Resizing, message)
}

/// What the storage class has refused waits until nothing else is to be done.
pub(crate) fn next(view: &View<'_>) -> Next {
    let mut problems = view.seen.problems.iter();
    match problems.any(|problem| problem.reason == Reason::GrowthRefused) {
        true => None,
        false => grow(view),
    }
}

/// Also what was refused: the class may have been mended since.
pub(crate) fn grow(view: &View<'_>) -> Next {
    let wanted = view.seen.spec.storage.bytes();
    if !view.is_settled() || !view.all_serve() {
        return None;
    }
    let places = view.places();
    let volumes = view
        .seen
        .volumes
        .iter()
        .filter(|(ordinal, _)| places.contains_key(ordinal));
    for (ordinal, volume) in volumes {
        let name = view.seen.cluster.member(*ordinal);
        if volume.deleting {
            continue;
        }
        if volume.request < wanted {
            return resizing(format!("{name}: growing its volume to {}", Bytes(wanted))).with(
                Step::GrowVolume {
                    ordinal: *ordinal,
                    uid: volume.uid.clone(),
                    to: wanted,
                },
            );
        }
    }
    let workload = view.seen.workload.as_ref()?;
    if workload.storage_request < wanted && !workload.deleting {
        let uid = workload.uid.clone();
        let message = "giving the StatefulSet the new size for volumes to come".to_owned();
        return resizing(message).with(Step::RecreateWorkload { uid });
    }
    None
}

/// A claim of a place that was given up, and which the policy does not keep. It is ours beyond doubt:
/// the record has had the place, and no member is listed there.
pub(crate) fn orphan(view: &View<'_>) -> Next {
    let record = view.record()?;
    if view.seen.spec.storage.when_scaled == Retention::Retain || !view.is_settled() {
        return None;
    }
    let mut orphans = view.seen.volumes.iter().filter(|(ordinal, volume)| {
        let is_ours = record.lives.contains_key(ordinal);
        let is_free = view.at(**ordinal).is_none() && view.pod(**ordinal).is_none();
        is_ours && is_free && !record.members.contains_key(ordinal) && !volume.deleting
    });
    let (ordinal, volume) = orphans.next()?;
    quietly(Step::DeleteVolume {
        ordinal: *ordinal,
        uid: volume.uid.clone(),
    })
}

/// Whether claims ask for more than they have; the storage class is at work, and nobody waits.
pub(crate) fn pending(view: &View<'_>) -> Option<String> {
    let growing = view
        .seen
        .volumes
        .iter()
        .filter(|(_, volume)| volume.bound && volume.capacity < volume.request);
    let names: Vec<String> = growing
        .map(|(ordinal, _)| view.seen.cluster.member(*ordinal))
        .collect();
    (!names.is_empty()).then(|| format!("the volumes of {} are growing", names.join(", ")))
}
