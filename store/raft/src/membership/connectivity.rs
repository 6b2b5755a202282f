//! Which other members this one can reach, and since when: etcd guards changes of the membership by
//! it. Every member asks every other one a small question twice a second over the kept connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use mainstay_proto::peer;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Members;
use crate::peer::frame::Kind;
use crate::peers::Peers;

/// Between two questions to one member.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// A member that has not answered by then cannot be reached.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// A member must have been in touch for this long to count (etcd's `HealthInterval`).
const HEALTHY_AFTER: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Connectivity {
    /// Members that answered last time, with the first answer since they last did not.
    since: Mutex<HashMap<u64, Instant>>,
}

impl Connectivity {
    pub fn is_reached(&self, id: u64) -> bool {
        self.since.lock().contains_key(&id)
    }

    /// Whether it has answered for as long as etcd wants it to.
    pub fn is_in_touch(&self, id: u64) -> bool {
        self.was_in_touch(id, Instant::now())
    }

    fn was_in_touch(&self, id: u64, now: Instant) -> bool {
        let since = self.since.lock();
        let since = since.get(&id);
        since.is_some_and(|at| now.saturating_duration_since(*at) > HEALTHY_AFTER)
    }

    fn note(&self, answers: &[(u64, bool)], now: Instant) {
        let mut since = self.since.lock();
        since.retain(|id, _| answers.contains(&(*id, true)));
        for (id, _) in answers.iter().filter(|(_, answered)| *answered) {
            since.entry(*id).or_insert(now);
        }
    }
}

/// Asks until the member stops, and keeps the addresses of the others as the membership has them.
pub async fn watch(connectivity: Arc<Connectivity>, members: Arc<Members>, peers: Arc<Peers>) {
    let mut ticks = interval(ASK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            more = members.changed() => {
                if !more {
                    return;
                }
            }
        }
        // Before there is one, whoever forms a cluster reaches others by what its flags say.
        if !members.is_known() {
            continue;
        }
        let others = members.others();
        // New addresses reach whoever dials, now and not when something is next sent.
        peers.keep(&others);
        let question = peer::ProbeRequest {
            member: members.own(),
        };
        let asked = others.iter().map(|(id, node)| {
            let caller = peers.caller(*id, node);
            let question = &question;
            async move {
                let answer: Result<peer::ProbeResponse, _> =
                    caller.call(Kind::Probe, question, ANSWER_MAX).await;
                (*id, answer.is_ok())
            }
        });
        connectivity.note(&join_all(asked).await, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_counts_after_five_seconds_without_a_miss() {
        let connectivity = Connectivity::default();
        let start = Instant::now();
        connectivity.note(&[(1, true), (2, false)], start);
        assert!(connectivity.is_reached(1) && !connectivity.is_reached(2));
        assert!(!connectivity.was_in_touch(1, start + HEALTHY_AFTER));
        let later = start + HEALTHY_AFTER + ASK_INTERVAL;
        connectivity.note(&[(1, true), (2, true)], later);
        assert!(connectivity.was_in_touch(1, later) && !connectivity.was_in_touch(2, later));
        connectivity.note(&[(1, false), (2, true)], later);
        connectivity.note(&[(1, true), (2, true)], later);
        assert!(!connectivity.was_in_touch(1, later));
        // Who is no member any more is forgotten.
        connectivity.note(&[(2, true)], later);
        assert!(!connectivity.is_reached(1));
    }
}
