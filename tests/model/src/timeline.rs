//! The truth of a run: what happened at every revision, as all members tell it.

use crate::{
    history::MemberLog,
    key_value::Event,
    state::State,
    violation::{Rule, Violation},
};

/// The first revision that can hold an event: an empty store is at 1.
pub const FIRST_REVISION: i64 = 2;

/// All events from revision 2 on, without a gap. Every event carries the value it replaced, as
/// the model computes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    revisions: Vec<Vec<Event>>,
}

impl Timeline {
    /// Merges the logs of the members.
    ///
    /// # Errors
    /// Rule 1: there is no log from the first revision on, a log has a gap or goes back, two logs
    /// differ, or an event does not follow from those before it.
    pub fn build(logs: &[MemberLog]) -> Result<Timeline, Vec<Violation>> {
        let base = logs
            .iter()
            .filter(|log| log.from <= FIRST_REVISION)
            .max_by_key(|log| log.through)
            .ok_or_else(|| vec![truth("no member tells its events from revision 2 on")])?;
        let mut found = Vec::new();
        let revisions = by_revision(base, &mut found);
        for log in logs {
            let other = by_revision(log, &mut found);
            if let Some(violation) = first_difference(base, &revisions, log, &other) {
                found.push(violation);
            }
        }
        if !found.is_empty() {
            return Err(found);
        }
        Timeline::follow(revisions)
    }

    /// Checks every event against the state before it and fills in the previous values.
    fn follow(mut revisions: Vec<Vec<Event>>) -> Result<Timeline, Vec<Violation>> {
        let mut state = State::default();
        let mut found = Vec::new();
        for (revision, events) in (FIRST_REVISION..).zip(&mut revisions) {
            // Events of one revision touch different keys, so each is judged by the state before
            // all of them.
            for event in events.iter_mut() {
                match state.expected(event, revision) {
                    Some(expected) if expected.without_prev() == event.without_prev() => {
                        *event = expected;
                    }
                    expected => found.push(truth(format!(
                        "revision {revision} tells {:?}, but after revision {} it must be {:?}",
                        event.without_prev(),
                        revision - 1,
                        expected.map(|event| event.without_prev())
                    ))),
                }
            }
            state.advance(events);
        }
        if found.is_empty() {
            Ok(Timeline { revisions })
        } else {
            Err(found)
        }
    }

    /// The newest revision; 1 if nothing was ever written.
    #[must_use]
    pub fn last(&self) -> i64 {
        FIRST_REVISION - 1 + self.revisions.len() as i64
    }

    /// The events of one revision in their order; none if there is no such revision.
    #[must_use]
    pub fn at(&self, revision: i64) -> &[Event] {
        usize::try_from(revision - FIRST_REVISION)
            .ok()
            .and_then(|index| self.revisions.get(index))
            .map_or(&[], Vec::as_slice)
    }

    /// All events with `from <= revision <= through`, in order.
    pub fn between(&self, from: i64, through: i64) -> impl Iterator<Item = &Event> {
        let first = from.max(FIRST_REVISION);
        (first..=through.min(self.last())).flat_map(|revision| self.at(revision))
    }
}

/// Splits a log at its revisions and reports gaps and steps back.
fn by_revision(log: &MemberLog, found: &mut Vec<Violation>) -> Vec<Vec<Event>> {
    let from = log.from.max(FIRST_REVISION);
    let length = usize::try_from(log.through - from + 1).unwrap_or(0);
    let mut revisions = vec![Vec::new(); length];
    let mut latest = from;
    for event in &log.events {
        let revision = event.revision();
        if revision < latest {
            found.push(truth(format!(
                "member {} ({}) tells revision {revision} after revision {latest}",
                log.member, log.label
            )));
            return revisions;
        }
        latest = revision;
        let slot = usize::try_from(revision - from)
            .ok()
            .and_then(|slot| revisions.get_mut(slot));
        match slot {
            Some(events) => events.push(event.without_prev()),
            None => found.push(truth(format!(
                "member {} ({}) tells revision {revision}, but says it ends at {}",
                log.member, log.label, log.through
            ))),
        }
    }
    if let Some(gap) = revisions.iter().position(Vec::is_empty) {
        found.push(truth(format!(
            "member {} ({}) tells no event at revision {}, though it goes on to {}",
            log.member,
            log.label,
            from + gap as i64,
            log.through
        )));
    }
    revisions
}

fn first_difference(
    base: &MemberLog,
    revisions: &[Vec<Event>],
    log: &MemberLog,
    other: &[Vec<Event>],
) -> Option<Violation> {
    let from = log.from.max(FIRST_REVISION);
    let skipped = usize::try_from(from - FIRST_REVISION).unwrap_or(usize::MAX);
    let pairs = revisions.iter().skip(skipped).zip(other);
    let (revision, (ours, theirs)) = (from..)
        .zip(pairs)
        .find(|(_, (ours, theirs))| ours != theirs)?;
    Some(truth(format!(
        "members disagree at revision {revision}: member {} ({}) tells {ours:?}, member {} ({}) \
         tells {theirs:?}",
        base.member, base.label, log.member, log.label
    )))
}

fn truth(message: impl Into<String>) -> Violation {
    Violation::new(Rule::Truth, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn refused(mutate: impl FnOnce(&mut Vec<MemberLog>)) -> String {
        let mut logs = samples::good().members;
        mutate(&mut logs);
        let violations = Timeline::build(&logs).unwrap_err();
        assert!(
            violations
                .iter()
                .all(|violation| violation.rule == Rule::Truth)
        );
        violations[0].message.clone()
    }

    #[test]
    fn a_good_run_has_one_truth() {
        let timeline = Timeline::build(&samples::good().members).unwrap();
        assert_eq!(timeline.last(), samples::LAST_REVISION);
        assert_eq!(timeline.at(1), []);
        assert_eq!(timeline.at(timeline.last() + 1), []);
    }

    #[test]
    fn members_that_differ_are_named() {
        let message = refused(|logs| logs[1].events[2].kv.value = "other".into());
        assert!(
            message.contains("disagree at revision 4: member"),
            "{message}"
        );
    }

    #[test]
    fn a_gap_is_found() {
        let message = refused(|logs| {
            logs[2].events.remove(5);
        });
        assert!(message.contains("no event at revision 6"), "{message}");
    }

    #[test]
    fn an_entry_applied_twice_is_found_even_if_all_members_agree() {
        let message = refused(|logs| {
            for log in logs {
                log.events[1].kv.version += 1;
            }
        });
        assert!(message.contains("revision 3 tells"), "{message}");
    }

    #[test]
    fn a_step_back_is_found() {
        let message = refused(|logs| logs[0].events.swap(0, 1));
        assert!(
            message.contains("tells revision 2 after revision 3"),
            "{message}"
        );
    }

    #[test]
    fn a_history_without_a_beginning_is_refused() {
        let message = refused(|logs| {
            for log in logs {
                log.from = 5;
            }
        });
        assert!(message.contains("from revision 2 on"), "{message}");
    }
}
