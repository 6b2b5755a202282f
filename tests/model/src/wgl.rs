//! The independent check: a search for any order that explains the answers.
//!
//! This is the algorithm of Wing and Gong with the memoisation of Lowe: take a call that no
//! unfinished call must precede, try it on the model, go on, step back where it fits nowhere.
//! It is exponential in theory, so it judges windows of a run. What it takes from the truth is the
//! state at the start of a window and which unknown writes happened at which revision; the order
//! of the rest it finds by itself.

use std::collections::{BTreeSet, HashSet};

use crate::{
    history::{History, Operation},
    ownership::{Owner, Ownership},
    request::Request,
    response::{Body, Response},
    state::State,
    timeline::Timeline,
    violation::{Rule, Violation},
};

/// Operations of one window.
pub const WINDOW_OPERATIONS: usize = 1500;

/// States that one search may visit before it gives up without a verdict.
pub const MAX_VISITED: usize = 1_000_000;

/// A stretch of a run with the state before it.
#[derive(Clone, Debug)]
pub struct Window {
    pub start: State,
    /// Sorted by call.
    pub steps: Vec<Step>,
}

/// One operation that took effect in the window.
#[derive(Clone, Debug)]
pub struct Step {
    pub call: u64,
    /// `u64::MAX` if it never returned.
    pub ret: u64,
    pub request: Request,
    /// The store's revision in its answer, if known.
    pub revision: Option<i64>,
    /// What it answered, if known.
    pub body: Option<Body>,
}

/// Cuts a run into windows at revision boundaries.
#[must_use]
pub fn windows(history: &History, timeline: &Timeline, ownership: &Ownership) -> Vec<Window> {
    let mut steps: Vec<(i64, Step)> = answered(history)
        .chain(ownership.owners.iter().filter_map(|(&revision, owner)| {
            resolved(history, revision, *owner).map(|step| (revision, step))
        }))
        .collect();
    steps.sort_by_key(|(revision, step)| (*revision, step.call));
    let mut windows = Vec::new();
    let mut state = State::default();
    let mut rest = steps.as_slice();
    while let Some((last, _)) = rest.get(WINDOW_OPERATIONS.min(rest.len()).wrapping_sub(1)) {
        // All steps of one revision stay together.
        let count = rest.partition_point(|(revision, _)| revision <= last);
        let (taken, after) = rest.split_at(count);
        let mut steps: Vec<Step> = taken.iter().map(|(_, step)| step.clone()).collect();
        steps.sort_by_key(|step| step.call);
        windows.push(Window {
            start: state.clone(),
            steps,
        });
        while state.revision < (*last).min(timeline.last()) {
            state.advance(timeline.at(state.revision + 1));
        }
        rest = after;
    }
    windows
}

/// Operations with an answer from the quorum. Reads of an old revision have no place of their own
/// in the order.
fn answered(history: &History) -> impl Iterator<Item = (i64, Step)> {
    history.operations.iter().filter_map(|operation| {
        let old = matches!(operation.request, Request::Range { revision, .. } if revision > 0);
        let response = operation.response().filter(|_| !old)?;
        if operation.request.may_be_stale() {
            return None;
        }
        Some((response.revision, step(operation, response)))
    })
}

fn step(operation: &Operation, response: &Response) -> Step {
    Step {
        call: operation.call,
        ret: operation.ret,
        request: operation.request.clone(),
        revision: Some(response.revision),
        body: Some(response.body.clone()),
    }
}

/// A write without an answer that the truth knows. It may take effect long after its client gave
/// up, so it never returns.
fn resolved(history: &History, revision: i64, owner: Owner) -> Option<Step> {
    let (call, request) = match owner {
        Owner::Operation(index) => {
            let operation = history.operations.get(index).filter(|op| op.is_unknown())?;
            (operation.call, operation.request.clone())
        }
        Owner::Expiry(lease) => (0, Request::LeaseRevoke { id: lease }),
    };
    Some(Step {
        call,
        ret: u64::MAX,
        request,
        revision: Some(revision),
        body: None,
    })
}

/// Searches one window.
///
/// # Errors
/// A violation of [`Rule::Linearizable`] if there is no order, of [`Rule::Malformed`] if
/// [`MAX_VISITED`] states did not suffice to tell.
pub fn check(window: &Window) -> Result<(), Violation> {
    let mut search = Search::new(window);
    let mut frames = vec![search.frame(Model::new(window))];
    let mut deepest = (0, String::from("nothing fits at the start"));
    while let Some(frame) = frames.last_mut() {
        if search.left == 0 {
            return Ok(());
        }
        let Some(choice) = frame.candidates.get(frame.next).copied() else {
            if frames.len() > deepest.0 {
                deepest = (frames.len(), search.stuck(frames.last()));
            }
            frames.pop();
            if let Some(undone) = frames.last().and_then(Frame::chosen) {
                search.set(undone, false);
            }
            continue;
        };
        frame.next += 1;
        let Some(model) = frame.model.apply(&window.steps[choice]) else {
            continue;
        };
        search.set(choice, true);
        if search.visited.len() >= MAX_VISITED {
            let message = format!("no verdict after {MAX_VISITED} states");
            return Err(Violation::new(Rule::Malformed, message));
        }
        if search.visited.insert((search.done.clone(), model.clone())) {
            let next = search.frame(model);
            frames.push(next);
        } else {
            search.set(choice, false);
        }
    }
    if window.steps.is_empty() {
        Ok(())
    } else {
        Err(no_order(window, &deepest))
    }
}

fn no_order(window: &Window, (depth, stuck): &(usize, String)) -> Violation {
    Violation::new(
        Rule::Linearizable,
        format!(
            "no order explains the {} operations after revision {}; the longest has {depth}, then \
             {stuck}",
            window.steps.len(),
            window.start.revision
        ),
    )
}

/// The state of the store as the search sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Model {
    state: State,
    /// Leases that this window grants but has not granted yet.
    pending: BTreeSet<i64>,
    revoked: BTreeSet<i64>,
    compacted: i64,
}

impl Model {
    fn new(window: &Window) -> Model {
        let grants = window.steps.iter().filter_map(|step| match step.request {
            Request::LeaseGrant { id, .. } => Some(id),
            _ => None,
        });
        Model {
            state: window.start.clone(),
            pending: grants.collect(),
            revoked: BTreeSet::new(),
            compacted: 0,
        }
    }

    /// The model after the step, or `None` if its answer does not fit here.
    fn apply(&self, step: &Step) -> Option<Model> {
        let mut next = self.clone();
        let effect = self.state.evaluate(&step.request);
        next.state.advance(&effect.events);
        if step
            .revision
            .is_some_and(|revision| revision != next.state.revision)
        {
            return None;
        }
        match &step.request {
            Request::LeaseGrant { id, .. } => {
                next.pending.remove(id);
            }
            Request::LeaseRevoke { id } => {
                if self.pending.contains(id) || !next.revoked.insert(*id) {
                    return None;
                }
            }
            Request::Compact { revision } => {
                if *revision > self.state.revision || *revision <= self.compacted {
                    return None;
                }
                next.compacted = *revision;
            }
            request => {
                if step.body.as_ref().is_some_and(|body| *body != effect.body) {
                    return None;
                }
                let gone = |lease| self.pending.contains(lease) || self.revoked.contains(lease);
                if request.attached_leases().iter().any(gone) && !effect.events.is_empty() {
                    return None;
                }
            }
        }
        Some(next)
    }
}

struct Frame {
    model: Model,
    candidates: Vec<usize>,
    next: usize,
}

impl Frame {
    fn chosen(&self) -> Option<usize> {
        self.candidates.get(self.next.checked_sub(1)?).copied()
    }
}

struct Search<'a> {
    steps: &'a [Step],
    done: Vec<u64>,
    left: usize,
    visited: HashSet<(Vec<u64>, Model)>,
}

impl<'a> Search<'a> {
    fn new(window: &'a Window) -> Search<'a> {
        let count = window.steps.len();
        Search {
            steps: &window.steps,
            done: vec![0; count.div_ceil(64)],
            left: count,
            visited: HashSet::new(),
        }
    }

    fn set(&mut self, index: usize, done: bool) {
        let bit = 1 << (index % 64);
        if done {
            self.done[index / 64] |= bit;
            self.left -= 1;
        } else {
            self.done[index / 64] &= !bit;
            self.left += 1;
        }
    }

    fn is_done(&self, index: usize) -> bool {
        self.done[index / 64] & (1 << (index % 64)) != 0
    }

    /// Steps that no unfinished step must precede: called before any of those returned.
    fn frame(&self, model: Model) -> Frame {
        let mut earliest_return = u64::MAX;
        let mut candidates = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            if step.call > earliest_return {
                break;
            }
            if !self.is_done(index) {
                earliest_return = earliest_return.min(step.ret);
                candidates.push(index);
            }
        }
        candidates.retain(|&index| self.steps[index].call <= earliest_return);
        Frame {
            model,
            candidates,
            next: 0,
        }
    }

    fn stuck(&self, frame: Option<&Frame>) -> String {
        let Some(frame) = frame else {
            return "the search was empty".to_owned();
        };
        let tried: Vec<String> = frame
            .candidates
            .iter()
            .take(4)
            .map(|&index| format!("{:?}", self.steps[index]))
            .collect();
        format!(
            "at revision {} none fits of {}",
            frame.model.state.revision,
            tried.join("; ")
        )
    }
}

#[cfg(test)]
mod tests;
