//! The revision-guided linearizability checker.
//!
//! Every answer carries the store's revision, so the servers claim a total order, and checking a
//! claimed order costs O(n log n) where finding one is exponential: millions of operations are
//! judged in seconds and a violation names its revision. The six rules are those of
//! `reliability.md` 2.7; [`crate::wgl`] judges without trusting the claim.

use crate::{
    history::{History, Operation},
    ownership,
    real_time::{self, Floors},
    request::Request,
    response::{Body, Outcome, Response},
    state::State,
    timeline::Timeline,
    violation::{Rule, Violation},
};

/// Applies all rules. An empty answer means that the history is strictly serializable.
#[must_use]
pub fn check(history: &History) -> Vec<Violation> {
    let malformed = check_shape(history);
    if !malformed.is_empty() {
        return malformed;
    }
    // Without a truth there is nothing to compare the answers with.
    let timeline = match Timeline::build(&history.members) {
        Ok(timeline) => timeline,
        Err(violations) => return violations,
    };
    let floors = Floors::new(history);
    let mut violations = ownership::assign(history, &timeline, &floors).violations;
    violations.extend(check_reads(history, &timeline));
    violations.extend(real_time::check(history, &floors));
    violations.extend(check_compactions(history, &floors));
    violations
}

/// Assumptions about the recording: a call ends after it began, one call per client at a time.
fn check_shape(history: &History) -> Vec<Violation> {
    let mut calls: Vec<&Operation> = history.operations.iter().collect();
    calls.sort_by_key(|operation| (operation.client, operation.call));
    let mut found = Vec::new();
    for operation in &calls {
        if operation.ret < operation.call {
            let message = format!("returned before its call: {}", operation.describe());
            found.push(Violation::new(Rule::Malformed, message));
        }
    }
    for pair in calls.windows(2) {
        if pair[0].client == pair[1].client && pair[1].call < pair[0].ret {
            let message = format!(
                "two calls of one client overlap: {} and {}",
                pair[0].describe(),
                pair[1].describe()
            );
            found.push(Violation::new(Rule::Malformed, message));
        }
    }
    found
}

/// Rule 3: whatever did not write equals the model at its revision.
fn check_reads(history: &History, timeline: &Timeline) -> Vec<Violation> {
    let mut reads: Vec<(i64, &Operation, &Response)> = history
        .operations
        .iter()
        .filter_map(|operation| operation.response().map(|response| (operation, response)))
        .filter(|(_, response)| !response.body.wrote())
        .map(|(operation, response)| (model_revision(operation, response), operation, response))
        .collect();
    reads.sort_by_key(|(revision, _, _)| *revision);
    let mut state = State::default();
    let mut found = Vec::new();
    for (revision, operation, response) in reads {
        while state.revision < revision && state.revision < timeline.last() {
            state.advance(timeline.at(state.revision + 1));
        }
        found.extend(check_read(&state, revision, operation, response));
    }
    found
}

/// The revision whose state a read shows: the one it asked for, else that of its header.
fn model_revision(operation: &Operation, response: &Response) -> i64 {
    match operation.request {
        Request::Range { revision, .. } if revision > 0 => revision,
        _ => response.revision,
    }
}

fn check_read(
    state: &State,
    revision: i64,
    operation: &Operation,
    response: &Response,
) -> Option<Violation> {
    let wrong = |message: String| {
        Some(Violation::new(
            Rule::Read,
            format!("{message}; {}", operation.describe()),
        ))
    };
    if revision > response.revision {
        return wrong(format!(
            "answers for revision {revision}, which is in its future"
        ));
    }
    if revision != state.revision {
        return wrong(format!("revision {revision} is outside the truth"));
    }
    match &operation.request {
        Request::LeaseGrant { .. } | Request::LeaseKeepAlive { .. } | Request::Compact { .. } => {
            None
        }
        Request::LeaseRevoke { id } => {
            let left: Vec<&str> = state.keys_of_lease(*id).collect();
            if left.is_empty() {
                return None;
            }
            wrong(format!(
                "revoked, but at revision {revision} it still holds {left:?}"
            ))
        }
        request => {
            let expected = state.evaluate(request).body;
            if expected == response.body {
                return None;
            }
            wrong(format!(
                "the model answers {expected:?} at revision {revision}"
            ))
        }
    }
}

/// A read below a completed compaction is refused, and a refusal has a compaction to explain it.
fn check_compactions(history: &History, floors: &Floors) -> Vec<Violation> {
    let compactions: Vec<(i64, &Operation)> = history
        .operations
        .iter()
        .filter(|operation| !matches!(operation.outcome, Outcome::Failed { .. }))
        .filter_map(|operation| match operation.request {
            Request::Compact { revision } => Some((revision, operation)),
            _ => None,
        })
        .collect();
    history
        .operations
        .iter()
        .filter_map(|operation| judge_old_read(operation, &compactions, floors))
        .collect()
}

fn judge_old_read(
    read: &Operation,
    compactions: &[(i64, &Operation)],
    floors: &Floors,
) -> Option<Violation> {
    let Request::Range {
        revision,
        serializable,
        ..
    } = &read.request
    else {
        return None;
    };
    if *revision <= 0 {
        return None;
    }
    let mut above = compactions
        .iter()
        .filter(|(compacted, _)| compacted > revision);
    let message = match &read.outcome {
        Outcome::Ok(Response {
            body: Body::Range { .. },
            ..
        }) if !serializable => {
            let (compacted, done) = above
                .find(|(_, compact)| compact.response().is_some() && compact.ret < read.call)?;
            format!(
                "answered below revision {compacted}, compacted by {}",
                done.describe()
            )
        }
        Outcome::Failed { message, .. } if message.contains("compacted") => {
            if above.any(|(_, compact)| compact.call < read.ret) {
                return None;
            }
            "refused as compacted, but nobody had compacted so far".to_owned()
        }
        Outcome::Failed { message, .. } if message.contains("future") && !serializable => {
            let floor = floors.revision_before(read.call);
            if floor < *revision {
                return None;
            }
            format!("refused as future, but revision {floor} had been seen before")
        }
        _ => return None,
    };
    Some(Violation::new(
        Rule::Compaction,
        format!("{message}; {}", read.describe()),
    ))
}

#[cfg(test)]
mod tests;
