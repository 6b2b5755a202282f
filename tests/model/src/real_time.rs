//! Rule 4: revisions follow real time.
//!
//! If A returned before B was called, B must not be answered from an older revision than A, and a
//! write B must get a newer one. Stale reads are exempt as B, never as A: what one member has
//! applied is committed, so nobody may fall behind it afterwards. Watch responses count as A too.

use crate::{
    history::{History, Operation},
    violation::{Rule, Violation},
};

/// For any instant the highest revision that some client had seen by then.
#[derive(Debug)]
pub struct Floors {
    /// Sorted by time; each carries the maximum so far.
    seen: Vec<Sighting>,
}

/// A revision that was seen at a time.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    pub time: u64,
    pub revision: i64,
    /// The operation that saw it, or `None` for a watcher.
    pub operation: Option<usize>,
}

impl Floors {
    #[must_use]
    pub fn new(history: &History) -> Floors {
        let answers = history
            .operations
            .iter()
            .enumerate()
            .filter_map(|(index, operation)| {
                let revision = operation.response()?.revision;
                Some(Sighting {
                    time: operation.ret,
                    revision,
                    operation: Some(index),
                })
            });
        let watched = history
            .watchers
            .iter()
            .flat_map(|watcher| &watcher.replies)
            .map(|reply| Sighting {
                time: reply.time,
                revision: reply.revision,
                operation: None,
            });
        let mut seen: Vec<Sighting> = answers.chain(watched).collect();
        seen.sort_by_key(|sighting| (sighting.time, sighting.revision));
        for index in 1..seen.len() {
            if seen[index].revision < seen[index - 1].revision {
                seen[index] = Sighting {
                    time: seen[index].time,
                    ..seen[index - 1]
                };
            }
        }
        Floors { seen }
    }

    /// The highest revision seen strictly before `time`.
    #[must_use]
    pub fn before(&self, time: u64) -> Option<Sighting> {
        let count = self.seen.partition_point(|sighting| sighting.time < time);
        self.seen.get(count.checked_sub(1)?).copied()
    }

    /// The same as a number; an empty store is at revision 1.
    #[must_use]
    pub fn revision_before(&self, time: u64) -> i64 {
        self.before(time).map_or(1, |sighting| sighting.revision)
    }

    /// When somebody first saw `revision` or a later one.
    #[must_use]
    pub fn first_seen(&self, revision: i64) -> Option<u64> {
        let index = self
            .seen
            .partition_point(|sighting| sighting.revision < revision);
        self.seen.get(index).map(|sighting| sighting.time)
    }
}

/// Judges every answered operation against what had been seen before its call.
#[must_use]
pub fn check(history: &History, floors: &Floors) -> Vec<Violation> {
    history
        .operations
        .iter()
        .filter_map(|operation| judge(history, floors, operation))
        .collect()
}

fn judge(history: &History, floors: &Floors, operation: &Operation) -> Option<Violation> {
    let response = operation.response()?;
    if operation.request.may_be_stale() {
        return None;
    }
    let floor = floors.before(operation.call)?;
    let least = floor.revision + i64::from(response.body.wrote());
    if response.revision >= least {
        return None;
    }
    let earlier = match floor
        .operation
        .and_then(|index| history.operations.get(index))
    {
        Some(earlier) => earlier.describe(),
        None => format!("a watcher at or before {:.3} s", floor.time as f64 / 1e9),
    };
    Some(Violation::new(
        Rule::RealTime,
        format!(
            "{} is at revision {}, but revision {} had been seen before its call by {earlier}",
            operation.describe(),
            response.revision,
            floor.revision
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        request::Request,
        samples::{self, rules},
    };

    #[test]
    fn a_good_history_follows_real_time() {
        let history = samples::good();
        assert_eq!(check(&history, &Floors::new(&history)), []);
    }

    #[test]
    fn a_stale_read_is_found_unless_it_was_asked_for() {
        let mut history = samples::good();
        let index = samples::index_of_last_get(&history);
        let Some(response) = samples::response_mut(&mut history, index) else {
            panic!()
        };
        response.revision = 3;
        let found = check(&history, &Floors::new(&history));
        assert_eq!(rules(&found), [Rule::RealTime]);
        assert!(
            found[0].message.contains("is at revision 3"),
            "{}",
            found[0]
        );
        if let Request::Range { serializable, .. } = &mut history.operations[index].request {
            *serializable = true;
        }
        assert_eq!(check(&history, &Floors::new(&history)), []);
    }

    #[test]
    fn a_write_may_not_reuse_a_revision_that_was_seen() {
        let mut history = samples::good();
        // The second put answers with the revision of the first, which had returned.
        let Some(response) = samples::response_mut(&mut history, 1) else {
            panic!()
        };
        response.revision = 2;
        assert_eq!(
            rules(&check(&history, &Floors::new(&history))),
            [Rule::RealTime]
        );
    }

    #[test]
    fn a_watcher_counts_as_a_witness() {
        let mut history = samples::good();
        let first = history.operations[0].call;
        history.watchers[0].replies[0].time = first - 1;
        history.watchers[0].replies[0].revision = 2;
        let found = check(&history, &Floors::new(&history));
        assert!(
            found
                .iter()
                .any(|violation| violation.message.contains("a watcher"))
        );
    }
}
