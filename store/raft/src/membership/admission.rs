//! Voters that were added and do not vote yet.
//!
//! etcd counts an added voter in the quorum at once, so a cluster of one that adds a member whose
//! address is wrong stops for good. Here it is shown as a voter from the first moment but counts
//! only once it is up and has the log; whoever leads then makes it one, so a leader that is lost
//! meanwhile leaves nothing half done.

use std::sync::Arc;
use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use tokio::time::{MissedTickBehavior, interval};

use super::change::Changer;

/// How often the leader looks at members that wait.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Entries that a member may lack when it becomes a voter: it has them a moment later.
const LAG_MAX: u64 = 1000;

/// Looks until the member stops. `silence_max` is how long ago a member may have been heard last.
pub async fn admit(changer: Arc<Changer>, silence_max: Duration) {
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if changer.leadership.leading_term().is_none() {
            continue;
        }
        for (id, node) in changer.members.others() {
            if !node.joining || changer.members.is_voter(id) {
                continue;
            }
            let (matched, last) = changer.progress(id);
            // Nothing matched is nobody there, however short the log is.
            let near = matched > 0 && last.saturating_sub(matched) <= LAG_MAX;
            if near && heard(&changer, id, silence_max) {
                changer.admit(id).await;
            }
        }
    }
}

/// Whether the member has acknowledged anything lately.
fn heard(changer: &Changer, id: u64, silence_max: Duration) -> bool {
    let data = changer.raft.data_metrics();
    let data = data.borrow_watched();
    let acked = data.heartbeat.as_ref().and_then(|all| all.get(&id));
    let acked = acked.and_then(|acked| acked.as_ref());
    acked.is_some_and(|at| (**at).elapsed() < silence_max)
}
