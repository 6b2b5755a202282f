//! No pods, all volumes: going there and back.

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;

use crate::step::Step;
use crate::verdict::{Next, activity};
use crate::view::View;

pub(crate) fn next(view: &View<'_>) -> Next {
    let record = view.record()?;
    match (view.seen.spec.hibernated, record.hibernated) {
        (false, false) => None,
        (true, false) => begin(view),
        (true, true) => stop(view),
        (false, true) => {
            let waking = activity(
                Phase::Waking,
                Reason::Waking,
                "starting the pods on their volumes",
            );
            waking.with(view.write(|record| record.hibernated = false))
        }
    }
}

/// A change under way is brought to its end first: a half-joined member would wake half-joined.
fn begin(view: &View<'_>) -> Next {
    let record = view.record()?;
    let change = record.in_flight().is_some() || !view.learners().is_empty();
    if change && view.agreed().is_some() {
        return None;
    }
    let doing = |message: &str| activity(Phase::Hibernating, Reason::Hibernating, message);
    if view.agreed().is_none() {
        let message = "the cluster is hibernated once a quorum can be asked: what its members are \
                       must be known before they stop";
        return doing(message).stalled(Reason::StateUnknown).wait();
    }
    doing("stopping the pods").with(view.write(|record| record.hibernated = true))
}

fn stop(view: &View<'_>) -> Next {
    let replicas = view
        .seen
        .workload
        .as_ref()
        .map_or(0, |workload| workload.replicas);
    if replicas > 0 {
        return activity(Phase::Hibernating, Reason::Hibernating, "stopping the pods")
            .with(Step::ScaleWorkload { replicas: 0 });
    }
    if !view.seen.pods.is_empty() {
        return activity(
            Phase::Hibernating,
            Reason::Hibernating,
            "the pods are stopping",
        )
        .wait();
    }
    None
}

/// The end of the road for a cluster that sleeps.
pub(crate) fn rest(view: &View<'_>) -> Next {
    view.record().filter(|record| record.hibernated)?;
    let message = "no pods run, the volumes are kept; set hibernated to false to bring it back";
    activity(Phase::Hibernated, Reason::Hibernated, message).wait()
}
