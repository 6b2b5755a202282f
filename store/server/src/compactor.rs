//! Compacting by itself, as `--auto-compaction-mode` asks. Only the leader does; the others wait
//! for its entry.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_apply::View;
use mainstay_proto::entry::command::Body;
use mainstay_proto::etcdserverpb::CompactionRequest;
use mainstay_raft::Node;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::settings::AutoCompaction;

/// In revision mode, etcd looks every five minutes.
const REVISION_INTERVAL: Duration = Duration::from_secs(300);
/// In periodic mode, etcd compacts every period, but at least once an hour.
const PERIOD_MAX: Duration = Duration::from_secs(3600);
/// Samples of the revision taken in one period.
const SAMPLES: u32 = 10;
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(7);

pub async fn run(mode: AutoCompaction, node: Node, view: View) {
    match mode {
        AutoCompaction::Off => {}
        AutoCompaction::Periodic(retention) => periodic(retention, node, view).await,
        AutoCompaction::Revisions(keep) => by_revision(keep, node, view).await,
    }
}

/// Remembers which revision was current when, and compacts to the one that is `retention` old.
async fn periodic(retention: Duration, node: Node, view: View) {
    let every = retention.min(PERIOD_MAX);
    let sample = (every / SAMPLES).max(Duration::from_millis(1));
    let mut history = History::default();
    let mut last = Instant::now();
    let mut ticks = interval(sample);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        history.note(now, view.store().revision());
        if now.duration_since(last) < every {
            continue;
        }
        if let Some(revision) = history.at(now, retention) {
            last = now;
            compact(&node, &view, revision).await;
        }
    }
}

async fn by_revision(keep: i64, node: Node, view: View) {
    let mut ticks = interval(REVISION_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let revision = view.store().revision().saturating_sub(keep);
        compact(&node, &view, revision).await;
    }
}

async fn compact(node: &Node, view: &View, revision: i64) {
    if revision <= view.store().compact_revision().max(0) || !node.is_leader() {
        return;
    }
    let request = CompactionRequest {
        revision,
        physical: false,
    };
    let deadline = Instant::now() + PROPOSE_TIMEOUT;
    match node.propose(Body::Compact(request), deadline).await {
        Ok(_) => tracing::info!(revision, "auto-compacted"),
        Err(error) => tracing::warn!(revision, %error, "auto-compaction failed"),
    }
}

/// Revisions with the moments at which they were current, oldest first.
#[derive(Default)]
struct History(VecDeque<(Instant, i64)>);

impl History {
    fn note(&mut self, now: Instant, revision: i64) {
        self.0.push_back((now, revision));
    }

    /// The newest revision that is at least `age` old; older ones are forgotten.
    fn at(&mut self, now: Instant, age: Duration) -> Option<i64> {
        let limit = now.checked_sub(age)?;
        let mut found = None;
        while let Some((at, revision)) = self.0.front().copied()
            && at <= limit
        {
            found = Some(revision);
            self.0.pop_front();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_gives_what_was_current_that_long_ago() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut history = History::default();
        for (tick, revision) in [(0, 5), (1, 7), (2, 9), (3, 9)] {
            history.note(start + second * tick, revision);
        }
        let now = start + second * 3;
        assert_eq!(history.at(now, second * 4), None);
        assert_eq!(history.at(now, second * 2), Some(7));
        assert_eq!(history.at(now, second), Some(9));
        assert_eq!(history.at(now, second), None);
    }
}
