//! Rules 2, 5 and 6: every revision has exactly one request that made it.
//!
//! Acknowledged writes name their revision. The other revisions are given to writes of unknown
//! outcome and to lease expiries; where several could have made one (two deletes of the same key)
//! a bipartite matching decides, so that no correct history is refused.

use std::collections::{BTreeMap, HashMap};

use crate::{
    history::{History, Operation},
    key_value::{Event, EventKind},
    real_time::Floors,
    request::Request,
    response::{Body, Outcome},
    state::State,
    timeline::{FIRST_REVISION, Timeline},
    violation::{Rule, Violation},
};

/// Who made a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// Index into [`History::operations`].
    Operation(usize),
    /// The server let this lease expire.
    Expiry(i64),
}

/// The owners found, and what was wrong.
#[derive(Debug, Default)]
pub struct Ownership {
    pub owners: BTreeMap<i64, Owner>,
    /// Revisions that nothing but the expiry of this lease explains.
    pub expiries: Vec<(i64, i64)>,
    pub violations: Vec<Violation>,
}

/// Gives every revision of the timeline an owner.
#[must_use]
pub fn assign(history: &History, timeline: &Timeline, floors: &Floors) -> Ownership {
    let index = Index::new(history);
    let mut result = Ownership::default();
    let mut open = Vec::new();
    let mut state = State::default();
    for revision in FIRST_REVISION..=timeline.last() {
        let events = timeline.at(revision);
        match index.claims.get(&revision).map(Vec::as_slice) {
            Some([one]) => {
                result.owners.insert(revision, Owner::Operation(*one));
                result
                    .violations
                    .extend(verify(&history.operations[*one], &state, events));
            }
            Some(many) => result
                .violations
                .push(claimed_twice(history, revision, many)),
            None => open.push(index.candidates(history, floors, &state, revision, events)),
        }
        state.advance(events);
    }
    for (revision, claims) in index.claims.range(timeline.last() + 1..) {
        result.violations.push(Violation::new(
            Rule::Ownership,
            format!(
                "an acknowledged write is lost: revision {revision} is not there, the truth ends \
                 at {}; {}",
                timeline.last(),
                history.operations[claims[0]].describe()
            ),
        ));
    }
    for revision in &open {
        if let [Owner::Expiry(lease)] = revision.owners.as_slice() {
            result.expiries.push((*lease, revision.revision));
        }
    }
    settle(history, timeline, open, &mut result);
    result
}

/// A revision that no acknowledged write names, and who could have made it.
#[derive(Debug, Default)]
struct Open {
    revision: i64,
    owners: Vec<Owner>,
    /// Would fit, but was called only after the revision had been seen.
    too_late: Option<usize>,
    /// Would fit, but was refused for certain.
    refused: Option<usize>,
}

/// The writes of a history by what identifies them.
struct Index<'a> {
    /// Acknowledged writes by the revision of their header.
    claims: BTreeMap<i64, Vec<usize>>,
    /// Writes that are not acknowledged, by each value they would put. Values are unique.
    values: HashMap<&'a str, Vec<usize>>,
    /// Requests that could have deleted without the answer naming the revision as theirs.
    deleters: Vec<usize>,
}

impl<'a> Index<'a> {
    fn new(history: &'a History) -> Index<'a> {
        let mut index = Index {
            claims: BTreeMap::new(),
            values: HashMap::new(),
            deleters: Vec::new(),
        };
        for (position, operation) in history.operations.iter().enumerate() {
            match &operation.outcome {
                Outcome::Ok(response) if response.body.wrote() => {
                    index
                        .claims
                        .entry(response.revision)
                        .or_default()
                        .push(position);
                }
                // The answer to a revoke does not tell whether any key went with the lease.
                Outcome::Ok(response) if response.body == Body::LeaseRevoke => {
                    index.deleters.push(position);
                }
                Outcome::Ok(_) => {}
                Outcome::Unknown { .. } | Outcome::Failed { .. } => {
                    for value in operation.request.put_values() {
                        index.values.entry(value).or_default().push(position);
                    }
                    if operation.is_unknown() && may_delete(&operation.request) {
                        index.deleters.push(position);
                    }
                }
            }
        }
        index
    }

    fn candidates(
        &self,
        history: &History,
        floors: &Floors,
        state: &State,
        revision: i64,
        events: &[Event],
    ) -> Open {
        let mut open = Open {
            revision,
            ..Open::default()
        };
        let put = events.iter().find(|event| event.kind == EventKind::Put);
        let positions = match put {
            Some(put) => self
                .values
                .get(put.kv.value.as_str())
                .map_or(&[][..], Vec::as_slice),
            None => self.deleters.as_slice(),
        };
        for &position in positions {
            let operation = &history.operations[position];
            if state.evaluate(&operation.request).events != events {
                continue;
            }
            match &operation.outcome {
                Outcome::Failed { .. } => open.refused = Some(position),
                Outcome::Ok(response) if response.revision != revision => {}
                _ if floors.revision_before(operation.call) >= revision => {
                    open.too_late = Some(position);
                }
                _ => open.owners.push(Owner::Operation(position)),
            }
        }
        let lease = events
            .first()
            .and_then(|event| event.prev_kv.as_ref())
            .map_or(0, |kv| kv.lease);
        if put.is_none()
            && lease != 0
            && state.evaluate(&Request::LeaseRevoke { id: lease }).events == events
        {
            open.owners.push(Owner::Expiry(lease));
        }
        open
    }
}

fn may_delete(request: &Request) -> bool {
    match request {
        Request::DeleteRange { .. } | Request::LeaseRevoke { .. } => true,
        Request::Txn {
            success, failure, ..
        } => success.iter().chain(failure).any(may_delete),
        _ => false,
    }
}

/// Rule 2: the effects of an acknowledged write are the events of its revision, and its answer is
/// what the model answers there.
fn verify(operation: &Operation, state: &State, events: &[Event]) -> Option<Violation> {
    let effect = state.evaluate(&operation.request);
    if effect.events != events {
        return Some(Violation::new(
            Rule::Ownership,
            format!(
                "revision {} holds {events:?}, but its owner should have made {:?}; {}",
                state.revision + 1,
                effect.events,
                operation.describe()
            ),
        ));
    }
    let answered = operation.response().map(|response| &response.body);
    if answered != Some(&effect.body) {
        return Some(Violation::new(
            Rule::Ownership,
            format!(
                "the model answers {:?} at revision {}; {}",
                effect.body,
                state.revision + 1,
                operation.describe()
            ),
        ));
    }
    None
}

fn claimed_twice(history: &History, revision: i64, claims: &[usize]) -> Violation {
    let claims: Vec<String> = claims
        .iter()
        .map(|&position| history.operations[position].describe())
        .collect();
    Violation::new(
        Rule::Ownership,
        format!(
            "revision {revision} is claimed more than once: {}",
            claims.join("; ")
        ),
    )
}

/// Matches open revisions with owners, each owner at most once, by augmenting paths.
fn settle(history: &History, timeline: &Timeline, open: Vec<Open>, result: &mut Ownership) {
    let mut taken: HashMap<Owner, usize> = HashMap::new();
    for start in 0..open.len() {
        let mut visited = HashMap::new();
        if augment(&open, start, &mut taken, &mut visited) {
            continue;
        }
        let revision = &open[start];
        let (rule, reason) = if !revision.owners.is_empty() {
            let reason = match revision.owners[0] {
                Owner::Operation(position) => history.operations[position].describe(),
                Owner::Expiry(lease) => format!("the expiry of lease {lease}"),
            };
            (
                Rule::UnknownWrite,
                format!("was found at another revision too: {reason}"),
            )
        } else if let Some(position) = revision.too_late {
            let late = history.operations[position].describe();
            (
                Rule::UnknownWrite,
                format!("was seen before the call that made it: {late}"),
            )
        } else if let Some(position) = revision.refused {
            let refused = history.operations[position].describe();
            (
                Rule::Orphan,
                format!("comes from a request that was refused: {refused}"),
            )
        } else {
            (Rule::Orphan, "has no request".to_owned())
        };
        let events = timeline.at(revision.revision);
        result.violations.push(Violation::new(
            rule,
            format!("revision {} with {events:?} {reason}", revision.revision),
        ));
    }
    result.owners.extend(
        taken
            .into_iter()
            .map(|(owner, at)| (open[at].revision, owner)),
    );
}

fn augment(
    open: &[Open],
    at: usize,
    taken: &mut HashMap<Owner, usize>,
    visited: &mut HashMap<Owner, ()>,
) -> bool {
    for owner in &open[at].owners {
        if visited.insert(*owner, ()).is_some() {
            continue;
        }
        let free = match taken.get(owner).copied() {
            None => true,
            Some(other) => augment(open, other, taken, visited),
        };
        if free {
            taken.insert(*owner, at);
            return true;
        }
    }
    false
}
