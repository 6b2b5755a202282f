//! The loop itself: takes triggers, begins what is due, and puts what ended where it belongs.

use std::future::Future;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::queue::{Next, Queue};
use super::source::{Trigger, Triggers};
use super::{Action, Metrics};
use crate::error::Error;

pub(super) struct Runner<'m, T, B> {
    pub(super) triggers: T,
    pub(super) queue: Queue,
    pub(super) concurrency: usize,
    pub(super) grace: Duration,
    pub(super) metrics: &'m Metrics,
    /// Reconciles the object of a name.
    pub(super) begin: B,
}

impl<T, B, F> Runner<'_, T, B>
where
    T: Triggers,
    B: Fn(String) -> F,
    F: Future<Output = Action>,
{
    pub(super) async fn run(self, stop: BoxFuture<'static, ()>) -> Result<(), Error> {
        self.metrics.leads(true);
        let metrics = self.metrics;
        let result = self.run_inner(stop).await;
        metrics.leads(false);
        metrics.depth(0, 0);
        result
    }

    async fn run_inner(self, mut stop: BoxFuture<'static, ()>) -> Result<(), Error> {
        let Runner {
            triggers,
            mut queue,
            concurrency,
            grace,
            metrics,
            begin,
        } = self;
        let mut unsynced: Vec<usize> = (0..triggers.sources()).collect();
        let mut triggers = triggers.stream();
        let begin = |name: String| {
            let reconcile = begin(name.clone());
            async move { (name, reconcile.await) }
        };
        let mut running = FuturesUnordered::new();
        let result = loop {
            let mut due = None;
            // What was there before must all be known, or the first reconciles judge by a part.
            while unsynced.is_empty() && running.len() < concurrency {
                match queue.next(Instant::now()) {
                    Next::Begin(name) => running.push(begin(name)),
                    Next::Wait(until) => {
                        due = Some(until);
                        break;
                    }
                    Next::Idle => break,
                }
            }
            metrics.depth(queue.waiting(), queue.running());
            tokio::select! {
                biased;
                () = &mut stop => break Ok(()),
                Some((name, action)) = running.next() => {
                    queue.done(&name, action, Instant::now());
                }
                trigger = triggers.next() => match trigger {
                    Some(Trigger::Names(names)) => {
                        let now = Instant::now();
                        names.iter().for_each(|name| queue.add(name, now));
                    }
                    Some(Trigger::Synced(at)) => unsynced.retain(|source| *source != at),
                    Some(Trigger::Failed(error)) => break Err(error),
                    None => break Ok(()),
                },
                () = until(due) => {}
            }
        };
        drop(triggers);
        // Nothing new is begun; what is under way may end.
        let ending = async { while running.next().await.is_some() {} };
        if tokio::time::timeout(grace, ending).await.is_err() {
            tracing::warn!(?grace, "reconciles were cut off");
        }
        result
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
