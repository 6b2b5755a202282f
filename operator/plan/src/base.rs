//! The objects that every cluster stands on: certificates, Services, disruption budget, StatefulSet.

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;

use crate::record::MemberPhase;
use crate::step::{Part, Step};
use crate::verdict::{Next, activity, quietly};
use crate::version;
use crate::view::View;

pub(crate) fn finalizer(view: &View<'_>) -> Next {
    if view.seen.cluster.finalizer {
        return None;
    }
    quietly(Step::AddFinalizer)
}

/// Writes what is missing or differs, the StatefulSet last and only under a record: it must never
/// start pods whose intents are not written.
pub(crate) fn objects(view: &View<'_>) -> Next {
    let mut parts: Vec<Part> = view.seen.drift.clone();
    parts.sort_unstable();
    parts.dedup();
    parts.retain(|part| *part != Part::Workload);
    if !parts.is_empty() {
        return quietly(Step::Apply(parts));
    }
    None
}

pub(crate) fn workload(view: &View<'_>) -> Next {
    view.record()?;
    let missing = view.seen.workload.is_none();
    let differs = view.seen.drift.contains(&Part::Workload);
    if view
        .seen
        .workload
        .as_ref()
        .is_some_and(|workload| workload.deleting)
    {
        return activity(
            Phase::Degraded,
            Reason::WaitingForMembers,
            "the StatefulSet is being deleted by somebody; it is made anew when it is gone",
        )
        .wait();
    }
    if !missing && (!differs || version::refused(view).is_some()) {
        return None;
    }
    quietly(Step::Apply(vec![Part::Workload]))
}

/// The number of pods follows the record. More pods may always come; pods go only if their places
/// are no members, by the list itself.
pub(crate) fn replicas(view: &View<'_>) -> Next {
    let record = view.record()?;
    let workload = view.seen.workload.as_ref()?;
    let wanted = record.pods();
    if workload.replicas < wanted {
        return quietly(Step::ScaleWorkload { replicas: wanted });
    }
    if workload.replicas == wanted || record.hibernated {
        return None;
    }
    let is_adding = record
        .members
        .values()
        .any(|member| member.phase == MemberPhase::Adding);
    let surplus = wanted..workload.replicas;
    if is_adding
        || view.agreed().is_none()
        || surplus.into_iter().any(|place| view.at(place).is_some())
    {
        return None;
    }
    quietly(Step::ScaleWorkload { replicas: wanted })
}
