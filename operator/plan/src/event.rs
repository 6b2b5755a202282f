//! Events: one for each condition that has become another.

use mainstay_operator_api::MainstayClusterStatus;
use mainstay_operator_api::condition::{ConditionType, Reason};

use crate::step::Event;

pub(crate) fn transitions(
    former: Option<&MainstayClusterStatus>,
    now: &MainstayClusterStatus,
) -> Vec<Event> {
    let before = |kind: &str| {
        let conditions = former.into_iter().flat_map(|status| &status.conditions);
        conditions
            .into_iter()
            .find(|condition| condition.type_ == kind)
    };
    let changed = now.conditions.iter().filter(|condition| {
        before(&condition.type_)
            .is_none_or(|old| old.status != condition.status || old.reason != condition.reason)
    });
    let mut events: Vec<Event> = Vec::new();
    for condition in changed {
        let Some(reason) = Reason::ALL
            .iter()
            .find(|reason| reason.to_string() == condition.reason)
        else {
            continue;
        };
        let event = Event {
            warning: is_warning(&condition.type_, &condition.status),
            reason: *reason,
            note: condition.message.clone(),
        };
        // Several conditions may tell the same.
        if !events.iter().any(|known| known.reason == event.reason) {
            events.push(event);
        }
    }
    events
}

fn is_warning(kind: &str, status: &str) -> bool {
    let bad_if_true = [ConditionType::Degraded, ConditionType::QuorumLost];
    let is_bad = |kinds: &[ConditionType]| kinds.iter().any(|bad| bad.to_string() == kind);
    status == "True" && is_bad(&bad_if_true) || status == "Unknown"
}
