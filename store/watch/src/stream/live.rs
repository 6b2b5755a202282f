//! Events for the watches that keep up.

use super::Stream;
use crate::{cohort::Cohort, stats::add, watcher::LIVE};

impl Stream {
    /// Collects one batch for the live watches, out of the ring. True if there is more to do.
    pub(super) fn drain_live(&mut self) -> bool {
        let fetches = self.todo.wants_notes();
        if fetches {
            let (notes, seen) = self.hub.take_notes(&self.mailbox);
            self.todo.add(notes, seen);
        }
        if self.live.watches.is_empty() {
            self.todo.skip();
        }
        let Some(first) = self.todo.first() else {
            self.live_at = self.todo.seen;
            // Notes left in the mailbox have woken this stream already and will not do so again.
            return !fetches;
        };
        let want_prev = self.live.want_prev > 0;
        let revisions = self
            .hub
            .with_ring(|ring| match ring.serves(first, want_prev) {
                true => self.todo.revisions(ring),
                false => Vec::new(),
            });
        let collected = self.live.collect(
            &mut self.watchers,
            &revisions,
            None,
            i64::MIN,
            &mut self.out,
        );
        add(&self.hub.counters.pending_events, collected.events as i64);
        let Some(last) = collected.last else {
            self.fall_behind(first);
            return true;
        };
        self.todo.done(last);
        self.live_at = if self.todo.first().is_none() {
            self.todo.seen
        } else {
            last
        };
        true
    }

    /// The ring does not hold what the live watches need from `first` on: they go on as watches
    /// that are behind. Matches before `first` have been handed out.
    fn fall_behind(&mut self, first: i64) {
        let mut cohort = std::mem::replace(&mut self.live, Cohort::new(LIVE));
        cohort.id = self.new_cohort_id();
        for watch_id in &cohort.watches {
            if let Some(watcher) = self.watchers.get_mut(watch_id) {
                watcher.cohort = cohort.id;
            }
        }
        add(
            &self.hub.counters.slow_watchers,
            cohort.watches.len() as i64,
        );
        self.put_behind(first, cohort);
        self.todo.skip();
        self.live_at = self.todo.seen;
    }

    pub(super) fn new_cohort_id(&mut self) -> u64 {
        let id = self.next_cohort;
        self.next_cohort += 1;
        id
    }
}
