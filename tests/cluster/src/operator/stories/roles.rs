//! How soon the labels of roles are true after the leader has changed. Nothing passes or fails by
//! the time as such: a label that takes as long as the limit is one that no event has corrected.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::operator::cluster::Cluster;
use crate::operator::members::Members;
use crate::operator::times::Times;

/// A member repeats its role every ten seconds; labels must not live by that.
const MOVED: Duration = Duration::from_secs(8);
/// A killed leader is first missed, then followed.
const KILLED: Duration = Duration::from_secs(20);

/// The leadership moves from member to member, as a client asks for it.
pub fn moves(cluster: &Cluster, times: &mut Times, count: usize) -> Result<()> {
    let members = Members::open(cluster)?;
    let (mut told, mut shown) = (Vec::new(), Vec::new());
    for turn in 0..count {
        let parts = members.parts()?;
        let (from, now) = members.leader()?;
        let others: Vec<_> = parts.iter().filter(|(name, _)| **name != from).collect();
        let (_, next) = others
            .get(turn % others.len().max(1))
            .context("nobody else is there")?;
        let since = Instant::now();
        members.move_leader(&from, next.id)?;
        let change = members.until_shown(since, now.term, MOVED)?;
        told.push(change.shown.saturating_sub(change.told));
        shown.push(change.shown);
    }
    times.spread("leader moved: asked to labels true", shown);
    times.spread("leader moved: told by a member to labels true", told);
    Ok(())
}

/// The leader's pod is killed, again and again.
pub fn kills(cluster: &Cluster, times: &mut Times, count: usize) -> Result<()> {
    let members = Members::open(cluster)?;
    let (mut told, mut shown) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (leader, now) = members.leader()?;
        let since = Instant::now();
        let killed = cluster.kill(&leader)?;
        let change = members.until_shown(since, now.term, KILLED)?;
        told.push(change.shown.saturating_sub(change.told));
        shown.push(change.shown);
        cluster.until_back(&leader, &killed, 3)?;
    }
    times.spread("leader's pod killed: to labels true", shown);
    times.spread("leader's pod killed: told by a member to labels true", told);
    Ok(())
}
