//! One pass: a step at most, the status, what to tell, when to look again.

use std::time::Duration;

use mainstay_operator_api::status::Phase;

use crate::observed::Observed;
use crate::step::Plan;
use crate::verdict::Verdict;
use crate::view::View;
use crate::{decide, event, status};

/// After a step, for what no watch tells.
const SOON: Duration = Duration::from_secs(1);
/// While something is awaited.
const WAITING: Duration = Duration::from_secs(3);
/// When a person must act first.
const STALLED: Duration = Duration::from_secs(15);
/// In quiet times: certificates run out, members fall ill, a store is full, a user's Secret is another
/// one, and no watch tells of it.
const QUIET: Duration = Duration::from_secs(30);
/// While no pods run.
const ASLEEP: Duration = Duration::from_secs(600);

/// What to do next about one cluster.
pub fn plan(seen: &Observed) -> Plan {
    let view = View::new(seen);
    let verdict = decide::next(&view);
    let status = status::of(&view, verdict.as_ref());
    let events = event::transitions(seen.status.as_ref(), &status);
    Plan {
        requeue: requeue(verdict.as_ref()),
        step: verdict.and_then(|verdict| verdict.step),
        status,
        events,
    }
}

fn requeue(verdict: Option<&Verdict>) -> Duration {
    let Some(verdict) = verdict else {
        return QUIET;
    };
    match &verdict.activity {
        _ if verdict.step.is_some() => SOON,
        Some(activity) if activity.phase == Phase::Hibernated => ASLEEP,
        Some(activity) if activity.phase == Phase::Paused => QUIET,
        Some(activity) if activity.stalled => STALLED,
        _ => WAITING,
    }
}
