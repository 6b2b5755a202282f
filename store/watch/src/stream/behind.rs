//! Events for the watches that are behind: from the ring if it reaches back, else from history.

use std::{collections::btree_map::Entry, sync::Arc};

use tracing::error;

use super::Stream;
use crate::{
    cohort::Cohort,
    event::Revision,
    history::{Error, WINDOW_BYTES_MAX, window_end},
    response::{Out, bare},
    stats::add,
    watcher::LIVE,
};

/// Revisions read for a cohort; everything up to `to` is in there.
struct Read {
    revisions: Vec<Arc<Revision>>,
    to: i64,
}

impl Stream {
    /// Moves the watches that are furthest behind on by one window.
    pub(super) async fn catch_up(&mut self) {
        let Some((&next, cohort)) = self.behind.first_key_value() else {
            return;
        };
        if next > self.hub.published() {
            return self.promote(next);
        }
        let want_prev = cohort.want_prev > 0;
        let compacted = self.hub.store().compact_revision();
        if next < compacted {
            return self.cancel_compacted(next, compacted);
        }
        match self.read(next, want_prev).await {
            Ok(read) => self.hand_out(next, &read),
            // The next turn finds the compact revision past `next`: it never goes back.
            Err(Error::Compacted) => {}
            Err(error) => {
                error!(%error, next, "watch stream ends");
                self.failed = true;
            }
        }
    }

    async fn read(&self, next: i64, want_prev: bool) -> Result<Read, Error> {
        let to = window_end(next).min(self.hub.published());
        let revisions = self
            .hub
            .with_ring(|ring| match ring.serves(next, want_prev) {
                true => ring.slice(next, to, WINDOW_BYTES_MAX),
                false => Vec::new(),
            });
        if let Some(last) = revisions.last() {
            let to = last.main;
            return Ok(Read { revisions, to });
        }
        let store = self.hub.store();
        let window = self.hub.history.window(store, next, to, want_prev).await?;
        let begin = window
            .revisions
            .partition_point(|revision| revision.main < next);
        let revisions = window.revisions.get(begin..).unwrap_or(&[]).to_vec();
        Ok(Read {
            revisions,
            to: window.to,
        })
    }

    fn hand_out(&mut self, next: i64, read: &Read) {
        let Some(cohort) = self.behind.remove(&next) else {
            return;
        };
        // As in etcd, what a watch catches up with carries the current revision. It is read only
        // now, so that it is not below that of any event here.
        let header = Some(self.hub.published());
        let compacted = self.hub.store().compact_revision();
        let collected = cohort.collect(
            &mut self.watchers,
            &read.revisions,
            header,
            compacted,
            &mut self.out,
        );
        add(&self.hub.counters.pending_events, collected.events as i64);
        let to = match collected.last {
            Some(last) if !collected.all => last,
            _ => read.to,
        };
        let next = to.max(next) + 1;
        self.put_behind(next, cohort);
        // At once, so that a request for progress does not find them behind.
        if next > self.hub.published() {
            self.promote(next);
        }
    }

    /// Nothing is missing any more: the watches of this cohort are live. Matches behind the
    /// published revision are noted for them since they were created.
    fn promote(&mut self, next: i64) {
        let Some(mut cohort) = self.behind.remove(&next) else {
            return;
        };
        add(
            &self.hub.counters.slow_watchers,
            -(cohort.watches.len() as i64),
        );
        let alone = self.live.watches.is_empty();
        for watch_id in &cohort.watches {
            let Some(watcher) = self.watchers.get_mut(watch_id) else {
                continue;
            };
            watcher.min_revision = watcher.min_revision.max(next);
            if alone {
                watcher.cohort = LIVE;
            } else {
                self.live.join(*watch_id, watcher);
            }
        }
        if alone {
            cohort.id = LIVE;
            self.live = cohort;
        }
    }

    /// Ends the watches that need revisions below the compact revision. The others of the cohort
    /// begin later anyway. The header's revision is 0, as in etcd.
    fn cancel_compacted(&mut self, next: i64, compacted: i64) {
        let Some(cohort) = self.behind.get(&next) else {
            return;
        };
        let lost = |watch_id: &&i64| {
            let watcher = self.watchers.get(watch_id);
            watcher.is_some_and(|watcher| watcher.min_revision.max(next) < compacted)
        };
        let mut ids: Vec<i64> = cohort.watches.iter().filter(lost).copied().collect();
        ids.sort_unstable();
        for watch_id in ids {
            self.end_watch(watch_id);
            let mut response = bare(watch_id, 0);
            response.canceled = true;
            response.compact_revision = compacted;
            self.out.push_back(Out::Control(response));
        }
        if let Some(cohort) = self.behind.remove(&next) {
            self.put_behind(compacted.max(next), cohort);
        }
    }

    /// The cohort that needs `next` next.
    pub(super) fn cohort_at(&mut self, next: i64) -> &mut Cohort {
        let id = self.new_cohort_id();
        self.behind.entry(next).or_insert_with(|| Cohort::new(id))
    }

    /// Files a cohort under the revision it needs next; two that meet become one.
    pub(super) fn put_behind(&mut self, next: i64, mut cohort: Cohort) {
        match self.behind.entry(next) {
            Entry::Vacant(place) => {
                place.insert(cohort);
            }
            Entry::Occupied(mut there) => {
                if there.get().watches.len() < cohort.watches.len() {
                    std::mem::swap(there.get_mut(), &mut cohort);
                }
                for watch_id in &cohort.watches {
                    if let Some(watcher) = self.watchers.get_mut(watch_id) {
                        there.get_mut().join(*watch_id, watcher);
                    }
                }
            }
        }
    }
}
