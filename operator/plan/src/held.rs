//! Places that were kept from starting get their next life one after the other.

use crate::change;
use crate::record::MemberPhase;
use crate::verdict::{Next, quietly};
use crate::view::View;

pub(crate) fn next(view: &View<'_>) -> Next {
    let record = view.record()?;
    if record.in_flight().is_some() || !view.all_serve() || !view.learners().is_empty() {
        return None;
    }
    let mut held = record
        .members
        .iter()
        .filter(|(_, member)| member.phase == MemberPhase::Held);
    let (ordinal, _) = held.next()?;
    quietly(change::begin_life(view, *ordinal))
}
