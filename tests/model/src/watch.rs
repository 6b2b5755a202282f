//! The nine watch validators, after etcd's promises about watches.
//!
//! Each looks at one watcher and the truth, and at nothing that another one is for, so that a
//! broken stream is named by the promise it breaks.

use std::collections::{BTreeSet, HashSet};

use crate::{
    history::{History, WatchReply, Watcher},
    key_value::{Event, EventKind, in_range},
    request::Request,
    response::Outcome,
    timeline::Timeline,
    violation::{Rule, Violation},
};

/// What the validators need beside the watcher.
#[derive(Debug)]
pub struct Context<'a> {
    timeline: &'a Timeline,
    /// When each compaction was asked for, and of what. It may have happened at any time since.
    compactions: Vec<(u64, i64)>,
}

/// One promise, checked on one watcher.
type Validator = fn(&Watcher, &Context<'_>) -> Option<Violation>;

/// In the order of the promises that build on one another.
const VALIDATORS: [Validator; 9] = [
    filter,
    ordered,
    unique,
    atomic,
    bookmarkable,
    resumable,
    reliable,
    prev_kv,
    is_create,
];

/// Runs all validators on all watchers.
#[must_use]
pub fn check(history: &History, timeline: &Timeline) -> Vec<Violation> {
    let context = Context::new(history, timeline);
    history
        .watchers
        .iter()
        .flat_map(|watcher| {
            VALIDATORS
                .iter()
                .filter_map(|validator| validator(watcher, &context))
        })
        .collect()
}

impl<'a> Context<'a> {
    #[must_use]
    pub fn new(history: &History, timeline: &'a Timeline) -> Context<'a> {
        let compactions = history
            .operations
            .iter()
            .filter(|operation| !matches!(operation.outcome, Outcome::Failed { .. }))
            .filter_map(|operation| match operation.request {
                Request::Compact { revision } => Some((operation.call, revision)),
                _ => None,
            })
            .collect();
        Context {
            timeline,
            compactions,
        }
    }

    fn may_be_compacted(&self, revision: i64, time: u64) -> bool {
        self.compactions
            .iter()
            .any(|&(call, compacted)| call < time && compacted >= revision)
    }
}

/// Only events of the range and kinds asked for.
fn filter(watcher: &Watcher, _: &Context<'_>) -> Option<Violation> {
    let foreign = events(watcher).find(|(_, event)| !wanted(watcher, event))?;
    Some(broken(
        Rule::WatchFilter,
        watcher,
        foreign,
        "was not asked for",
    ))
}

/// Revisions never go back.
fn ordered(watcher: &Watcher, _: &Context<'_>) -> Option<Violation> {
    let mut latest = 0;
    for (reply, event) in events(watcher) {
        if event.revision() < latest {
            let reason = format!("comes after revision {latest}");
            return Some(broken(Rule::WatchOrdered, watcher, (reply, event), &reason));
        }
        latest = event.revision();
    }
    None
}

/// No event comes twice.
fn unique(watcher: &Watcher, _: &Context<'_>) -> Option<Violation> {
    let mut seen = HashSet::new();
    let twice =
        events(watcher).find(|(_, event)| !seen.insert((event.revision(), &event.kv.key)))?;
    Some(broken(
        Rule::WatchUnique,
        watcher,
        twice,
        "comes a second time",
    ))
}

/// The events of one revision come in one response.
fn atomic(watcher: &Watcher, _: &Context<'_>) -> Option<Violation> {
    let mut before: BTreeSet<i64> = BTreeSet::new();
    for reply in &watcher.replies {
        if let Some(event) = reply
            .events
            .iter()
            .find(|event| before.contains(&event.revision()))
        {
            let reason = "was split from its revision, which an earlier response had begun";
            return Some(broken(Rule::WatchAtomic, watcher, (reply, event), reason));
        }
        before.extend(reply.events.iter().map(Event::revision));
    }
    None
}

/// After progress at a revision there is no event up to it.
fn bookmarkable(watcher: &Watcher, _: &Context<'_>) -> Option<Violation> {
    let mut bookmark = 0;
    for reply in &watcher.replies {
        if reply.is_progress() {
            bookmark = bookmark.max(reply.revision);
        }
        if let Some(event) = reply
            .events
            .iter()
            .find(|event| event.revision() <= bookmark)
        {
            let reason = format!("comes after progress at revision {bookmark}");
            return Some(broken(
                Rule::WatchBookmarkable,
                watcher,
                (reply, event),
                &reason,
            ));
        }
    }
    None
}

/// A watch begins with the first event at or after the revision it was asked to start from.
fn resumable(watcher: &Watcher, context: &Context<'_>) -> Option<Violation> {
    let start = start(watcher)?;
    let first = events(watcher).next()?;
    let timeline = context.timeline;
    let expected = timeline
        .between(start, timeline.last())
        .find(|event| wanted(watcher, event));
    if expected.map(Event::revision) == Some(first.1.revision()) {
        return None;
    }
    let reason = format!(
        "is the first, but from revision {start} on the first is {:?}",
        expected.map(Event::without_prev)
    );
    Some(broken(Rule::WatchResumable, watcher, first, &reason))
}

/// Between its first and its last sign of life a watch has exactly the events of the truth.
fn reliable(watcher: &Watcher, context: &Context<'_>) -> Option<Violation> {
    let mut told: Vec<Event> = events(watcher)
        .map(|(_, event)| event.without_prev())
        .filter(|event| wanted(watcher, event))
        .collect();
    told.sort_by_key(Event::revision);
    // Repetitions are another validator's business.
    let mut seen = HashSet::new();
    told.retain(|event| seen.insert((event.revision(), event.kv.key.clone())));
    let from = told
        .first()
        .map(Event::revision)
        .or_else(|| start(watcher))?;
    let through = watcher
        .replies
        .iter()
        .map(|reply| match reply.events.last() {
            Some(event) => event.revision(),
            None if reply.is_progress() => reply.revision,
            None => 0,
        })
        .max()?;
    let truth: Vec<Event> = context
        .timeline
        .between(from, through)
        .filter(|event| wanted(watcher, event))
        .map(Event::without_prev)
        .collect();
    let at = (0..truth.len().max(told.len())).find(|&at| truth.get(at) != told.get(at))?;
    Some(Violation::new(
        Rule::WatchReliable,
        format!(
            "{}: between revisions {from} and {through} the truth has {:?} where it tells {:?}",
            describe(watcher),
            truth.get(at),
            told.get(at)
        ),
    ))
}

/// The value before an event is that of the revision before, unless it may be compacted.
fn prev_kv(watcher: &Watcher, context: &Context<'_>) -> Option<Violation> {
    for (reply, event) in events(watcher) {
        let truth = context
            .timeline
            .at(event.revision())
            .iter()
            .find(|truth| truth.kv.key == event.kv.key)
            .and_then(|truth| truth.prev_kv.as_ref());
        let right = match (&event.prev_kv, truth) {
            (None, _) if !watcher.prev_kv => true,
            (Some(_), _) if !watcher.prev_kv => false,
            (None, Some(_)) => context.may_be_compacted(event.revision(), reply.time),
            (told, truth) => told.as_ref() == truth,
        };
        if !right {
            let reason = format!("has another value before it than {truth:?}");
            return Some(broken(Rule::WatchPrevKv, watcher, (reply, event), &reason));
        }
    }
    None
}

/// A put looks like a creation exactly when the key was not there before.
fn is_create(watcher: &Watcher, context: &Context<'_>) -> Option<Violation> {
    let wrong = events(watcher).find(|(_, event)| {
        let mut truth = context.timeline.at(event.revision()).iter();
        event.kind == EventKind::Put
            && truth
                .find(|truth| truth.kv.key == event.kv.key)
                .is_some_and(|truth| truth.prev_kv.is_none() != event.is_create())
    })?;
    Some(broken(
        Rule::WatchIsCreate,
        watcher,
        wrong,
        "is wrong about whether it made the key",
    ))
}

fn events(watcher: &Watcher) -> impl Iterator<Item = (&WatchReply, &Event)> {
    watcher
        .replies
        .iter()
        .flat_map(|reply| reply.events.iter().map(move |event| (reply, event)))
}

fn wanted(watcher: &Watcher, event: &Event) -> bool {
    let filtered = match event.kind {
        EventKind::Put => watcher.no_put,
        EventKind::Delete => watcher.no_delete,
    };
    !filtered && in_range(&event.kv.key, &watcher.key, &watcher.range_end)
}

/// The first revision the watcher may tell. Without a wish it is the one after that of the
/// response that created it.
fn start(watcher: &Watcher) -> Option<i64> {
    if watcher.start_revision > 0 {
        return Some(watcher.start_revision);
    }
    watcher
        .replies
        .iter()
        .find(|reply| reply.created)
        .map(|reply| reply.revision + 1)
}

fn broken(
    rule: Rule,
    watcher: &Watcher,
    (reply, event): (&WatchReply, &Event),
    reason: &str,
) -> Violation {
    let seconds = reply.time as f64 / 1e9;
    Violation::new(
        rule,
        format!(
            "{}: {event:?} at {seconds:.3} s {reason}",
            describe(watcher)
        ),
    )
}

fn describe(watcher: &Watcher) -> String {
    format!(
        "watcher {} on member {} of [{:?}, {:?}) from revision {}",
        watcher.client, watcher.member, watcher.key, watcher.range_end, watcher.start_revision
    )
}

#[cfg(test)]
mod tests;
