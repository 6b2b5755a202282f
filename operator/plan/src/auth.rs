//! Authentication is switched on once the cluster is formed and all members are well.

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;

use crate::observed::AuthView;
use crate::step::Step;
use crate::verdict::{Next, activity};
use crate::view::View;

pub(crate) fn next(view: &View<'_>) -> Next {
    view.seen.spec.auth.as_ref()?;
    let secret_is_missing = view
        .seen
        .problems
        .iter()
        .any(|problem| problem.reason == Reason::SecretMissing);
    if view.seen.auth != AuthView::Disabled || !view.all_serve() || secret_is_missing {
        return None;
    }
    let message = "switching authentication on";
    activity(Phase::Running, Reason::WaitingForMembers, message).with(Step::EnableAuth)
}
