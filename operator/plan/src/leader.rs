//! Moving the leadership: before its member stops or goes, and on request.

use mainstay_operator_api::annotation;
use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;

use crate::step::Step;
use crate::verdict::{Next, activity, quietly};
use crate::view::View;

/// The step that takes the leadership away from `id`: to a member of the newest template, then to
/// the one that has applied most. None if no other serves.
pub(crate) fn away_from(view: &View<'_>, id: u64) -> Option<Step> {
    let voters = view.voters();
    let able = voters
        .iter()
        .filter(|member| member.id != id && view.serves(member));
    let best = able.max_by_key(|member| {
        let ordinal = view.ordinal(member);
        let pod = ordinal.and_then(|ordinal| view.pod(ordinal));
        let updated = pod.is_some_and(|pod| !view.is_outdated(pod));
        let applied = view.status(member.id).map_or(0, |status| status.applied);
        (updated, applied, std::cmp::Reverse(ordinal))
    })?;
    Some(Step::MoveLeader {
        from: id,
        to: best.id,
    })
}

/// What the annotation asks for: the name of a member, and after a slash whatever makes the text a
/// new one.
pub(crate) fn asked(view: &View<'_>) -> Next {
    let text = view.seen.cluster.annotations.get(annotation::MOVE_LEADER)?;
    let record = view.record()?;
    if record.obeyed.get(annotation::MOVE_LEADER) == Some(text) || !view.is_settled() {
        return None;
    }
    let name = text.split('/').next().unwrap_or_default();
    let obeyed = || {
        let (key, text) = (annotation::MOVE_LEADER.to_owned(), text.clone());
        quietly(view.write(|record| {
            record.obeyed.insert(key, text);
        }))
    };
    let Some(member) = view.voters().into_iter().find(|member| member.name == name) else {
        return obeyed();
    };
    let leader = view.leader()?;
    if leader == member.id {
        return obeyed();
    }
    if !view.serves(member) {
        return None;
    }
    let step = Step::MoveLeader {
        from: leader,
        to: member.id,
    };
    activity(
        Phase::Running,
        Reason::WaitingForMembers,
        format!("moving the leadership to {name}, as the annotation asks"),
    )
    .with(step)
}
