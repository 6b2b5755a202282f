//! Authentication is switched on once the cluster is formed and all members are well; from then on
//! the password of root follows its Secret.

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;

use crate::observed::AuthView;
use crate::step::Step;
use crate::verdict::{Next, activity, quietly};
use crate::view::View;

/// What the record calls the state of the Secret whose password is root's.
pub const PASSWORD: &str = "rootSecret";

pub(crate) fn next(view: &View<'_>) -> Next {
    view.seen.spec.auth.as_ref()?;
    match view.seen.auth {
        AuthView::Unknown => None,
        AuthView::Disabled => enable(view),
        AuthView::Enabled => follow(view),
    }
}

fn enable(view: &View<'_>) -> Next {
    let secret_is_missing = view
        .seen
        .problems
        .iter()
        .any(|problem| problem.reason == Reason::SecretMissing);
    if !view.all_serve() || secret_is_missing {
        return None;
    }
    let message = "switching authentication on";
    activity(Phase::Running, Reason::WaitingForMembers, message).with(Step::EnableAuth)
}

/// A password that is root's is noted, so that it is tried once and not at each pass.
fn follow(view: &View<'_>) -> Next {
    let tried = view.seen.password.as_ref()?;
    if tried.is_roots {
        let version = tried.version.clone();
        return quietly(view.write(|record| {
            record.obeyed.insert(PASSWORD.to_owned(), version);
        }));
    }
    let message = "changing the password of root to that of its Secret";
    activity(Phase::Running, Reason::WaitingForMembers, message).with(Step::SetRootPassword)
}
