//! What is seen in quiet times and needed in others: the volume each member writes to, the version
//! that all of them run.

use crate::record::MemberPhase;
use crate::step::Step;
use crate::verdict::{Next, quietly};
use crate::view::View;

pub(crate) fn next(view: &View<'_>) -> Next {
    let record = view.record()?;
    if !view.is_settled() {
        return None;
    }
    let mut noted = record.clone();
    for (ordinal, member) in &mut noted.members {
        let serves = view.at(*ordinal).is_some_and(|member| view.serves(member));
        if member.phase != MemberPhase::Voter || !serves {
            continue;
        }
        // Whatever a member serves from is its volume.
        if let Some(volume) = view
            .volume(*ordinal)
            .filter(|volume| volume.bound && !volume.deleting)
        {
            member.volume_uid = Some(volume.uid.clone());
        }
    }
    if view.all_serve() && runs_the_spec(view) {
        noted.version = Some(view.seen.spec.version.clone());
    }
    (noted != *record)
        .then(|| Step::WriteRecord(Box::new(noted)))
        .and_then(quietly)
}

/// Every pod is of the newest template, and the template is the spec's.
fn runs_the_spec(view: &View<'_>) -> bool {
    let is_applied = !view.seen.drift.contains(&crate::step::Part::Workload);
    let knows = view
        .seen
        .workload
        .as_ref()
        .is_some_and(|workload| !workload.update_revision.is_empty());
    let places = view.places();
    let all = places
        .keys()
        .all(|ordinal| view.pod(*ordinal).is_some_and(|pod| !view.is_outdated(pod)));
    is_applied && knows && all
}
