//! A cluster that is being deleted: pods go, then by policy the volumes, then the finalizer. No
//! member leaves, as nobody remains to hear of it.

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;
use mainstay_operator_api::storage::Retention;

use crate::step::Step;
use crate::verdict::{Activity, Next, Verdict, activity};
use crate::view::View;

pub(crate) fn next(view: &View<'_>) -> Next {
    if !view.seen.cluster.deleting {
        return None;
    }
    let doing = |what: &str| activity(Phase::Deleting, Reason::Deleting, what);
    if !view.seen.cluster.finalizer {
        return doing("nothing is left to clear away").wait();
    }
    if let Some(workload) = &view.seen.workload {
        if workload.deleting {
            return doing("the pods are stopping").wait();
        }
        let uid = workload.uid.clone();
        return doing("stopping the pods").with(Step::DeleteWorkload { uid });
    }
    if view.seen.spec.storage.when_deleted == Retention::Delete
        && let Some(verdict) = volumes(view, doing)
    {
        return Some(verdict);
    }
    doing("all is cleared away").with(Step::RemoveFinalizer)
}

/// Volumes go only once no pod can write to them.
fn volumes(view: &View<'_>, doing: impl Fn(&str) -> Activity) -> Option<Verdict> {
    if view.seen.volumes.is_empty() {
        return None;
    }
    if !view.seen.pods.is_empty() {
        return doing("the pods are stopping; then their volumes go").wait();
    }
    let mut left = view
        .seen
        .volumes
        .iter()
        .filter(|(_, volume)| !volume.deleting);
    match left.next() {
        Some((ordinal, volume)) => doing("deleting the volumes").with(Step::DeleteVolume {
            ordinal: *ordinal,
            uid: volume.uid.clone(),
        }),
        None => doing("the volumes are going").wait(),
    }
}
