//! From the members there are to the number that is asked for: one at a time, at the highest place.

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;

use crate::change;
use crate::fault::{Fault, planted};
use crate::record::{MemberPhase, Record};
use crate::step::Step;
use crate::verdict::{Next, activity};
use crate::view::View;

pub(crate) fn next(view: &View<'_>) -> Next {
    let record = view.record()?;
    let wanted = view.seen.spec.replicas;
    let count = u32::try_from(record.members.len()).ok()?;
    let is_idle = record.in_flight().is_none() && view.is_settled() || planted(Fault::ChangeTwice);
    if !is_idle || count == wanted {
        return None;
    }
    if count < wanted {
        let message = format!("growing from {count} to {wanted}");
        let growing = activity(Phase::ScalingUp, Reason::ScalingUp, message);
        if !view.all_serve() {
            return growing.stalled(Reason::WaitingForMembers).wait();
        }
        return growing.with(aim(change::begin_life(view, count), wanted));
    }
    let last = count.checked_sub(1)?;
    let message = format!("shrinking from {count} to {wanted}");
    let shrinking = activity(Phase::ScalingDown, Reason::ScalingDown, message);
    let id = record.members.get(&last)?.id()?;
    if !view.can_remove(id) {
        return shrinking.stalled(Reason::WaitingForMembers).wait();
    }
    let step = view.write(|record: &mut Record| {
        if let Some(member) = record.members.get_mut(&last) {
            member.phase = MemberPhase::Leaving;
            member.since = view.now();
        }
    });
    shrinking.with(aim(step, wanted))
}

/// The number that the change leads to is latched with it.
fn aim(step: Step, wanted: u32) -> Step {
    match step {
        Step::WriteRecord(mut record) => {
            record.target = wanted;
            Step::WriteRecord(record)
        }
        other => other,
    }
}
