//! What the client of a stream asks for.

use mainstay_proto::etcdserverpb::WatchCreateRequest;

use super::{Stream, WATCHES_MAX};
use crate::{
    control::{Companion, REQUESTS_MAX, Request, Review},
    matcher::Scope,
    response::{NO_WATCH, Out, bare},
    stats::add,
    watcher::{LIVE, Watcher},
};

/// What "the server picks the id" is written as.
const PICK_ID: i64 = 0;

impl Stream {
    /// Handles the requests that have come in, up to one for progress, which settles first.
    pub(super) fn take_requests(&mut self) {
        for _ in 0..REQUESTS_MAX {
            if self.progress.is_some() {
                return;
            }
            let Some(requests) = &mut self.requests else {
                return;
            };
            match requests.try_recv() {
                Ok(request) => self.handle(request),
                // Whether there are none yet or never again, waiting will tell.
                Err(_) => return,
            }
        }
    }

    pub(super) fn handle(&mut self, request: Request) {
        match request {
            Request::Create(request, companion) => self.create(&request, companion),
            Request::Cancel(watch_id) => self.cancel(watch_id),
            Request::Progress => self.ask_progress(),
            Request::Refuse(reason) => self.refuse(reason),
            Request::Review(review) => self.review(&review),
        }
    }

    fn create(&mut self, request: &WatchCreateRequest, companion: Companion) {
        let reasons = &self.hub.options.reasons;
        if request.start_revision < 0 {
            return self.refuse(reasons.compacted.clone());
        }
        let Some(scope) = Scope::new(&request.key, &request.range_end) else {
            return self.refuse(reasons.empty_range.clone());
        };
        if self.watchers.len() >= WATCHES_MAX {
            return self.refuse(reasons.too_many.clone());
        }
        if request.watch_id != PICK_ID && self.watchers.contains_key(&request.watch_id) {
            return self.refuse(reasons.duplicate_id.clone());
        }
        let watch_id = match request.watch_id {
            PICK_ID => self.free_id(),
            given => given,
        };
        self.start(watch_id, Watcher::new(request, scope, companion));
    }

    /// From 0 upward, passing over ids in use and never going back to one that was freed.
    fn free_id(&mut self) -> i64 {
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        let free = self.next_id;
        self.next_id += 1;
        free
    }

    fn start(&mut self, watch_id: i64, mut watcher: Watcher) {
        // Counted first, so that what is published from now on brings the records before.
        add(&self.hub.want_prev, i64::from(watcher.prev_kv));
        add(&self.hub.counters.watchers, 1);
        let published = self.hub.register(&self.mailbox, &watcher.scope);
        let mut response = bare(watch_id, published);
        response.created = true;
        self.out.push_back(Out::Control(response));
        self.notified += usize::from(watcher.progress_notify);
        let start = watcher.start_revision;
        if start == 0 || start > published {
            watcher.min_revision = if start == 0 { published + 1 } else { start };
            self.live.join(watch_id, &mut watcher);
        } else {
            watcher.min_revision = start;
            self.cohort_at(start).join(watch_id, &mut watcher);
            add(&self.hub.counters.slow_watchers, 1);
        }
        self.watchers.insert(watch_id, watcher);
    }

    fn cancel(&mut self, watch_id: i64) {
        if self.end_watch(watch_id) {
            let mut response = bare(watch_id, self.hub.published());
            response.canceled = true;
            self.out.push_back(Out::Control(response));
        }
    }

    fn review(&mut self, review: &Review) {
        let ended = self.watchers.iter().filter(|(_, watcher)| {
            let (key, range_end) = watcher.scope.range();
            !(review.allowed)(key, range_end)
        });
        let mut ended: Vec<i64> = ended.map(|(watch_id, _)| *watch_id).collect();
        ended.sort_unstable();
        for watch_id in ended {
            self.end_watch(watch_id);
            let mut response = bare(watch_id, self.hub.published());
            response.canceled = true;
            response.cancel_reason = review.reason.clone();
            self.out.push_back(Out::Control(response));
        }
    }

    /// Takes the watch away; false if there is none of that id.
    pub(super) fn end_watch(&mut self, watch_id: i64) -> bool {
        let Some(watcher) = self.watchers.remove(&watch_id) else {
            return false;
        };
        if watcher.cohort == LIVE {
            self.live.leave(watch_id, &watcher);
        } else {
            self.leave_behind(watch_id, &watcher);
        }
        self.hub.unregister(&self.mailbox, &watcher.scope);
        self.notified -= usize::from(watcher.progress_notify);
        add(&self.hub.want_prev, -i64::from(watcher.prev_kv));
        add(&self.hub.counters.watchers, -1);
        true
    }

    fn leave_behind(&mut self, watch_id: i64, watcher: &Watcher) {
        let cohort = self
            .behind
            .iter_mut()
            .find(|(_, cohort)| cohort.id == watcher.cohort);
        let Some((&next, cohort)) = cohort else {
            return;
        };
        cohort.leave(watch_id, watcher);
        add(&self.hub.counters.slow_watchers, -1);
        if cohort.watches.is_empty() {
            self.behind.remove(&next);
        }
    }

    /// There is an answer only if there is a watch, none is behind and none begins in the future.
    fn ask_progress(&mut self) {
        let published = self.hub.published();
        let begins_later = |watcher: &Watcher| watcher.start_revision > published;
        if self.watchers.is_empty()
            || !self.behind.is_empty()
            || self.watchers.values().any(begins_later)
        {
            return;
        }
        #[cfg(feature = "planted-faults")]
        if self.hub.options.fault_progress_first {
            self.out.push_front(Out::Control(bare(NO_WATCH, published)));
            return;
        }
        self.progress = Some(published);
    }

    fn refuse(&mut self, reason: String) {
        let mut response = bare(NO_WATCH, self.hub.published());
        (response.created, response.canceled) = (true, true);
        response.cancel_reason = reason;
        self.out.push_back(Out::Control(response));
    }
}
