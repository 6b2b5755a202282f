//! Watches of one stream that are at the same revision and move on together.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use crate::{
    event::Revision,
    matcher::Matcher,
    response::{Due, Out},
    watcher::Watcher,
};

/// References to events collected at a time, over all watches of a stream (32 bytes each). One
/// revision is collected whole even beyond that.
const BATCH_EVENTS_MAX: usize = 16 << 10;

/// One pass over a window serves all of them.
#[derive(Debug, Default)]
pub(crate) struct Cohort {
    pub id: u64,
    pub watches: HashSet<i64>,
    /// How many of them want the record before.
    pub want_prev: usize,
    members: Matcher<Vec<i64>>,
}

/// What a pass has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Collected {
    /// The last revision looked at, if any.
    pub last: Option<i64>,
    /// All of the revisions were looked at.
    pub all: bool,
    /// Events collected, counted for each watch.
    pub events: usize,
}

impl Cohort {
    pub(crate) fn new(id: u64) -> Cohort {
        Cohort {
            id,
            ..Cohort::default()
        }
    }

    pub(crate) fn join(&mut self, watch_id: i64, watcher: &mut Watcher) {
        watcher.cohort = self.id;
        self.members.entry(&watcher.scope).push(watch_id);
        self.watches.insert(watch_id);
        self.want_prev += usize::from(watcher.prev_kv);
    }

    pub(crate) fn leave(&mut self, watch_id: i64, watcher: &Watcher) {
        let Some(ids) = self.members.get_mut(&watcher.scope) else {
            return;
        };
        let Some(at) = ids.iter().position(|id| *id == watch_id) else {
            return;
        };
        ids.swap_remove(at);
        if ids.is_empty() {
            self.members.remove(&watcher.scope);
        }
        self.watches.remove(&watch_id);
        self.want_prev -= usize::from(watcher.prev_kv);
    }

    /// Collects what the revisions hold for each watch. A response carries `header`, or the
    /// revision of its last event if there is none: so it is in etcd for watches that are behind,
    /// and for those that are not. The record before a change at or below `compacted` is left
    /// out even where it is still known, as in etcd, which looks it up when it sends.
    pub(crate) fn collect(
        &self,
        watchers: &mut HashMap<i64, Watcher>,
        revisions: &[Arc<Revision>],
        header: Option<i64>,
        compacted: i64,
        out: &mut VecDeque<Out>,
    ) -> Collected {
        let mut touched = Vec::new();
        let mut collected = Collected {
            last: None,
            all: true,
            events: 0,
        };
        for revision in revisions {
            if collected.events >= BATCH_EVENTS_MAX {
                collected.all = false;
                break;
            }
            collected.events += self.match_revision(watchers, revision, compacted, &mut touched);
            collected.last = Some(revision.main);
        }
        for watch_id in touched {
            let Some(watcher) = watchers.get_mut(&watch_id) else {
                continue;
            };
            watcher.idle = false;
            out.push_back(Out::Events(Due {
                watch_id,
                revision: header.unwrap_or(watcher.due_revision),
                events: std::mem::take(&mut watcher.due),
                sent: 0,
                fragment: watcher.fragment,
            }));
        }
        collected
    }

    fn match_revision(
        &self,
        watchers: &mut HashMap<i64, Watcher>,
        revision: &Revision,
        compacted: i64,
        touched: &mut Vec<i64>,
    ) -> usize {
        let mut events = 0;
        for event in &revision.events {
            self.members.visit(&event.key, |watch_ids| {
                for watch_id in watch_ids {
                    let Some(watcher) = watchers.get_mut(watch_id) else {
                        continue;
                    };
                    if !watcher.wants(revision.main, event.delete) {
                        continue;
                    }
                    // Whoever chose the source made sure that the record before is known.
                    let want_prev = watcher.prev_kv && revision.main > compacted;
                    let Some(wire) = event.wire(want_prev) else {
                        continue;
                    };
                    if watcher.due.is_empty() {
                        touched.push(*watch_id);
                    }
                    watcher.due.push(wire.clone());
                    watcher.due_revision = revision.main;
                    events += 1;
                }
            });
        }
        events
    }
}
