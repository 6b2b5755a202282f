//! A store that is full: its history is compacted and the alarm lifted, if that freed enough.
//! (A member with corrupt data is a failed member: `failure`.)

use std::time::Duration;

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::recovery::Repair;
use mainstay_operator_api::status::Phase;

use crate::observed::{AlarmKind, MemberStatus};
use crate::record::Freeing;
use crate::step::Step;
use crate::verdict::{Next, activity};
use crate::view::View;

/// Between two attempts.
const AGAIN: Duration = Duration::from_secs(600);

pub(crate) fn next(view: &View<'_>) -> Next {
    let record = view.record()?;
    let members = view.agreed()?;
    let is_full = |id: &u64| view.has_alarm(*id, AlarmKind::NoSpace);
    let full = members.list.iter().map(|member| member.id).find(is_full)?;
    let doing = |message: &str| activity(Phase::Repairing, Reason::FreeingSpace, message);
    if view.seen.spec.recovery.no_space == Repair::Manual {
        return None;
    }
    let status = view.status(view.leader()?)?;
    let Some(freed) = record
        .freed
        .as_ref()
        .filter(|freed| view.age(freed.at) < AGAIN)
    else {
        let freeing = Freeing {
            at: view.now(),
            revision: status.revision,
        };
        return doing("compacting the history")
            .with(view.write(|record| record.freed = Some(freeing)));
    };
    if status.compacted < freed.revision {
        let revision = freed.revision;
        return doing("compacting the history").with(Step::Compact { revision });
    }
    if has_room(view, members.status.values()) {
        return doing("lifting the alarm").with(Step::Disarm { id: full });
    }
    None
}

/// Nine tenths of the quota or less are in use on every member that answers.
fn has_room<'a>(view: &View<'_>, mut statuses: impl Iterator<Item = &'a MemberStatus>) -> bool {
    let limit = view.seen.spec.quota_bytes() / 10 * 9;
    statuses.all(|status| status.db_size_in_use <= limit)
}
