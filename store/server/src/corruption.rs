//! When members are compared with each other, and what follows: at the start a member that differs
//! does not serve; later the alarm CORRUPT is raised, which stops writes until somebody has looked.

use std::time::Duration;

use anyhow::{Result, bail};
use mainstay_proto::entry::command::Body;
use mainstay_proto::etcdserverpb::{AlarmRequest, AlarmType, alarm_request::AlarmAction};
use mainstay_raft::{Finding, Node};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::settings::CorruptionChecks;

/// The member that is accused where nobody knows who is wrong.
const UNKNOWN: u64 = 0;
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(7);

/// Compares this member with the others that can be reached; fails if it is the one that differs, or
/// may be.
pub async fn at_start(node: &Node) -> Result<()> {
    let found = node.corruption().compare_latest().await?;
    let (corrupt, hashes, revision) = (found.corrupt(), &found.hashes, found.revision);
    if corrupt.contains(&node.member_id()) || corrupt.contains(&UNKNOWN) {
        bail!("found data inconsistency with peers at revision {revision}: {hashes:x?}");
    }
    if !corrupt.is_empty() {
        tracing::error!(
            revision,
            hashes = format!("{hashes:x?}"),
            "other members hold different data"
        );
    }
    let compared = found.hashes.iter().filter(|hashed| hashed.hash.is_some());
    tracing::info!(
        revision,
        members = compared.count(),
        "this member holds what the others hold"
    );
    Ok(())
}

/// Compares again and again while this member leads; never returns.
pub async fn watch(node: Node, checks: CorruptionChecks) {
    tokio::join!(
        latest(&node, checks.every),
        compactions(&node, checks.after_compaction)
    );
}

async fn latest(node: &Node, every: Option<Duration>) {
    let Some(every) = every else { return };
    let mut ticks = ticks(every);
    loop {
        ticks.tick().await;
        if !node.is_leader() {
            continue;
        }
        match node.corruption().compare_latest().await {
            Ok(found) => accuse(node, &found).await,
            Err(error) => tracing::warn!(%error, "members were not compared"),
        }
    }
}

async fn compactions(node: &Node, every: Option<Duration>) {
    let Some(every) = every else { return };
    let mut ticks = ticks(every);
    let mut checked = 0;
    loop {
        ticks.tick().await;
        if !node.is_leader() {
            continue;
        }
        if let Some(found) = node.corruption().compare_compactions(checked).await {
            if found.is_complete() {
                checked = found.revision;
            }
            accuse(node, &found).await;
        }
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Raises the alarm for whoever differs.
async fn accuse(node: &Node, found: &Finding) {
    for member in found.corrupt() {
        tracing::error!(
            member = format!("{member:x}"),
            revision = found.revision,
            hashes = format!("{:x?}", found.hashes),
            "members hold different data"
        );
        let raise = AlarmRequest {
            action: AlarmAction::Activate.into(),
            member_id: member,
            alarm: AlarmType::Corrupt.into(),
        };
        let deadline = Instant::now() + PROPOSE_TIMEOUT;
        if let Err(error) = node.propose(Body::Alarm(raise), deadline).await {
            tracing::error!(%error, "the alarm could not be raised");
        }
    }
}
