//! One watch stream: pulled by its client's connection, never pushed to.

mod behind;
mod live;
mod requests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::{Arc, atomic::Ordering},
};

use tokio::{sync::mpsc, time::Instant};

use crate::{
    Frame,
    cohort::Cohort,
    control::Request,
    hub::Inner,
    mailbox::Mailbox,
    response::{Encoder, NO_WATCH, Out, bare},
    stats::add,
    todo::Todo,
    watcher::{LIVE, Watcher},
};

/// Watches on one stream. A create request beyond that is refused.
const WATCHES_MAX: usize = 1 << 20;

/// Watches of one client connection. Everything happens in [`Stream::next`], on the task that
/// calls it; dropping the stream ends its watches.
///
/// Memory is bounded whatever the client does: one batch of references to shared events, one
/// response put together at a time, and notes of revisions in the mailbox.
pub struct Stream {
    hub: Arc<Inner>,
    mailbox: Arc<Mailbox>,
    /// `None` after the client's half close.
    requests: Option<mpsc::Receiver<Request>>,
    watchers: HashMap<i64, Watcher>,
    /// Where the search for a free watch id goes on.
    next_id: i64,
    /// Watches handed events as they are published.
    live: Cohort,
    /// Live watches have been handed everything up to this revision.
    live_at: i64,
    todo: Todo,
    /// Watches that read older revisions, by the next revision they need.
    behind: BTreeMap<i64, Cohort>,
    next_cohort: u64,
    /// Collected, in the order in which it must go out.
    out: VecDeque<Out>,
    encoder: Encoder,
    /// A request for progress, to be answered when everything up to this revision is out.
    progress: Option<i64>,
    /// How many watches want progress notifications.
    notified: usize,
    next_tick: Instant,
    /// The history cannot be read any more; the stream ends.
    failed: bool,
}

impl Stream {
    pub(crate) fn new(
        hub: Arc<Inner>,
        mailbox: Arc<Mailbox>,
        requests: mpsc::Receiver<Request>,
        published: i64,
    ) -> Stream {
        let next_tick = Instant::now() + hub.options.interval(mailbox.stream);
        let encoder = Encoder::new(hub.options.fragment_bytes_max);
        Stream {
            hub,
            mailbox,
            requests: Some(requests),
            watchers: HashMap::new(),
            next_id: 0,
            live: Cohort::new(LIVE),
            live_at: published,
            todo: Todo::new(published),
            behind: BTreeMap::new(),
            next_cohort: LIVE + 1,
            out: VecDeque::new(),
            encoder,
            progress: None,
            notified: 0,
            next_tick,
            failed: false,
        }
    }

    /// The next response. Waits for an event, a request or a progress tick; `None` when the hub
    /// is closed or the history of the store cannot be read. May be dropped while waiting.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.pop() {
                return Some(frame);
            }
            if self.failed || self.mailbox.is_closed() {
                return None;
            }
            self.take_requests();
            let more = self.drain_live();
            self.catch_up().await;
            if self.answer_progress() || more || !self.out.is_empty() || !self.behind.is_empty() {
                continue;
            }
            if !self.tick() {
                self.wait().await;
            }
        }
    }

    /// Puts the next response together.
    fn pop(&mut self) -> Option<Frame> {
        let ids = self.hub.ids();
        match self.out.front_mut()? {
            Out::Events(due) => {
                let (frame, count) = self.encoder.events(ids, due);
                if due.sent >= due.events.len() {
                    self.out.pop_front();
                }
                let counters = &self.hub.counters;
                add(&counters.pending_events, -(count as i64));
                counters
                    .events_total
                    .fetch_add(count as u64, Ordering::Relaxed);
                Some(frame)
            }
            Out::Control(response) => {
                let response = std::mem::take(response);
                self.out.pop_front();
                Some(self.encoder.control(ids, response))
            }
        }
    }

    /// Answers a request for progress once nothing up to its revision is left to be handed out.
    /// A watch that is behind, or none at all by now, means that there is no answer. True if the request is settled.
    fn answer_progress(&mut self) -> bool {
        let Some(revision) = self.progress else {
            return false;
        };
        if self.watchers.is_empty() || !self.behind.is_empty() {
            self.progress = None;
        } else if self.out.is_empty() && self.live_at >= revision {
            self.progress = None;
            self.out
                .push_back(Out::Control(bare(NO_WATCH, self.live_at)));
        }
        self.progress.is_none()
    }

    /// Tells the watches that have been idle since the last tick where the store is. Called with
    /// nothing left to be handed out. True if there was a tick.
    fn tick(&mut self) -> bool {
        let now = Instant::now();
        if self.notified == 0 || now < self.next_tick {
            return false;
        }
        let interval = self.hub.options.interval(self.mailbox.stream);
        while self.next_tick <= now {
            self.next_tick += interval;
        }
        for (watch_id, watcher) in &mut self.watchers {
            let idle = std::mem::replace(&mut watcher.idle, true);
            let started = watcher.start_revision <= self.live_at;
            if watcher.progress_notify && idle && started && watcher.cohort == LIVE {
                self.out
                    .push_back(Out::Control(bare(*watch_id, self.live_at)));
            }
        }
        true
    }

    async fn wait(&mut self) {
        let requests = &mut self.requests;
        let request = async {
            match requests {
                Some(requests) => requests.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.mailbox.wake.notified() => {}
            () = tokio::time::sleep_until(self.next_tick), if self.notified > 0 => {}
            request = request => match request {
                Some(request) => self.handle(request),
                None => self.requests = None,
            },
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let pending = self.out.iter().map(|out| match out {
            Out::Events(due) => due.events.len() - due.sent,
            Out::Control(_) => 0,
        });
        let counters = &self.hub.counters;
        add(&counters.pending_events, -(pending.sum::<usize>() as i64));
        add(&counters.watchers, -(self.watchers.len() as i64));
        let behind: usize = self
            .behind
            .values()
            .map(|cohort| cohort.watches.len())
            .sum();
        add(&counters.slow_watchers, -(behind as i64));
        let want_prev = self
            .watchers
            .values()
            .filter(|watcher| watcher.prev_kv)
            .count();
        add(&self.hub.want_prev, -(want_prev as i64));
        let scopes = self.watchers.values().map(|watcher| &watcher.scope);
        self.hub.forget_stream(&self.mailbox, scopes);
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("watchers", &self.watchers.len())
            .field("live_at", &self.live_at)
            .field("behind", &self.behind.keys())
            .finish_non_exhaustive()
    }
}
