//! The order in which the rooms are asked. The first that has something to do or to wait for ends
//! the pass; so what stands above protects what stands below.

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;

use crate::fault::{Fault, planted};
use crate::verdict::{Next, activity};
use crate::view::View;
use crate::{
    alarm, auth, base, bootstrap, certificate, change, deletion, failure, held, hibernation,
    leader, ledger, quorum, recovery, roll, rotation, scale, volume,
};

type Room = for<'a> fn(&View<'a>) -> Next;

const ORDER: &[Room] = &[
    deletion::next,
    paused,
    base::finalizer,
    bootstrap::unborn,
    certificate::next,
    base::objects,
    bootstrap::latch,
    // Whatever was begun in an emergency goes on first.
    recovery::resume,
    base::workload,
    hibernation::next,
    base::replicas,
    roll::mend,
    bootstrap::confirm,
    // A sleeping cluster can exchange its CA; nothing below this is for it.
    sleeping,
    recovery::begin,
    // From here on a quorum serves.
    quorum::next,
    recovery::void,
    bootstrap::latecomers,
    alarm::next,
    change::next,
    failure::next,
    held::next,
    strangers,
    ledger::next,
    auth::next,
    certificate::asked,
    rotation::next,
    volume::next,
    volume::orphan,
    roll::next,
    leader::asked,
    scale::next,
    roll::unread,
    volume::grow,
];

pub(crate) fn next(view: &View<'_>) -> Next {
    ORDER.iter().find_map(|room| room(view))
}

fn paused(view: &View<'_>) -> Next {
    let message = "the operator only reports; set paused to false to let it act";
    let is_paused = view.seen.spec.paused;
    is_paused
        .then(|| activity(Phase::Paused, Reason::Paused, message))
        .and_then(|paused| paused.wait())
}

fn sleeping(view: &View<'_>) -> Next {
    view.record().filter(|record| record.hibernated)?;
    rotation::next(view).or_else(|| hibernation::rest(view))
}

/// Members that nobody here has added: nothing about members is changed until a person has looked.
fn strangers(view: &View<'_>) -> Next {
    if view.is_settled() || planted(Fault::ChangeTwice) {
        return None;
    }
    let message = "the list of members is not the one that is written down";
    activity(Phase::Degraded, Reason::UnknownMember, message)
        .stalled(Reason::UnknownMember)
        .wait()
}
