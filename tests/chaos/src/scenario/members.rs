//! Members that come and go: added, promoted, replaced and removed under load, killed in the middle of
//! it, and removed ones that come back.

mod change;
mod lone;

use std::time::Duration;

use anyhow::{Context, bail};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep};

use self::change::{await_code, list, remove, replace, strangers};
use crate::{
    cluster::{HEAL_TIMEOUT, Setup},
    load::Plan,
    options::Options,
    session::Session,
    tally::Tally,
};

/// Two election timeouts of the clusters here.
const NEW_LEADER_MAX: Duration = Duration::from_millis(2 * 500);

/// Kills around a change, of each role.
const KILLED_CHANGES: usize = 3;

/// # Errors
/// If it cannot be carried out on this machine.
pub async fn run(options: &Options, tally: &mut Tally) -> anyhow::Result<()> {
    under_load(options, tally).await?;
    lone::run(options, tally).await
}

/// Every change below is made while clients work, and what they saw is judged in the end.
async fn under_load(options: &Options, tally: &mut Tally) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(options.seed);
    let setup = Setup {
        members: 3,
        mounted: Some(Vec::new()),
        ..Setup::default()
    };
    let plan = Plan::default();
    let mut session = Session::start(options, "load", &setup, plan, &mut random).await?;
    let recorder = std::sync::Arc::clone(&session.recorder);
    // A new leader gives every lease its whole time again: the checker is told when there may be one.
    macro_rules! step {
        ($name:literal, $done:expr) => {
            let start = recorder.now();
            let done = $done.await;
            recorder.fault($name, start);
            tally.outcome($name, done);
        };
    }
    step!(
        "M1 a learner is added under load and promoted",
        follower(&mut session, true)
    );
    step!(
        "M2 the leader is removed, hands over and ends",
        leader(&mut session)
    );
    step!(
        "M3 a dead member is replaced beside a slow one",
        beside_a_slow_one(&mut session)
    );
    step!(
        "M6 a member is killed while members change",
        killed(&mut session, &mut random)
    );
    step!(
        "M7 a removed member that comes back disturbs nobody",
        returned(&mut session)
    );
    session.finish(tally).await?;
    Ok(())
}

async fn follower(session: &mut Session, learner: bool) -> anyhow::Result<()> {
    let leader = session.cluster.leader().await.context("no leader")?;
    replace(&mut session.cluster, (leader + 1) % 3, learner).await
}

/// The leader is asked to remove itself: it answers, hands over and ends with code 0.
async fn leader(session: &mut Session) -> anyhow::Result<()> {
    let cluster = &mut session.cluster;
    let leader = cluster.leader().await.context("no leader")?;
    let id = list(cluster, leader).await?.id_of(cluster, leader)?;
    remove(cluster, leader, id).await?;
    let removed = Instant::now();
    while cluster.leader().await.is_none_or(|now| now == leader) {
        if removed.elapsed() > NEW_LEADER_MAX {
            bail!("no other leader after {:?}", removed.elapsed());
        }
        sleep(Duration::from_millis(20)).await;
    }
    println!("another leader after {:.0?}", removed.elapsed());
    await_code(cluster, leader, 0).await?;
    change::join_again(cluster, leader, false).await
}

/// One of three is dead and another one stands still now and then. The dead one is replaced.
async fn beside_a_slow_one(session: &mut Session) -> anyhow::Result<()> {
    let cluster = &mut session.cluster;
    let leader = cluster.leader().await.context("no leader")?;
    let (dead, slow) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.members[dead].kill()?;
    let id = list(cluster, leader).await?.id_of(cluster, dead)?;
    remove(cluster, leader, id).await?;
    for _ in 0..3 {
        cluster.members[slow].pause()?;
        sleep(Duration::from_millis(200)).await;
        cluster.members[slow].resume()?;
        sleep(Duration::from_millis(50)).await;
    }
    change::join_again(cluster, dead, true).await
}

/// A member is killed at some moment of a removal and of the addition that follows: the leader, the
/// one that was asked, or the third. Whatever came of it, all members agree and go on.
async fn killed(session: &mut Session, random: &mut StdRng) -> anyhow::Result<()> {
    for round in 0..KILLED_CHANGES {
        let cluster = &mut session.cluster;
        // The removal must not be refused for want of touch, or nothing is under way at the kill.
        sleep(lone::IN_TOUCH).await;
        let leader = cluster.leader().await.context("no leader")?;
        let (asked, gone) = ((leader + 1) % 3, (leader + 2) % 3);
        let victim = [leader, asked, leader][round % 3];
        let id = list(cluster, leader).await?.id_of(cluster, gone)?;
        let connection = cluster.probe(asked).clone();
        let removing = tokio::spawn(change::remove_by(connection, id));
        sleep(Duration::from_millis(random.random_range(0..60))).await;
        cluster.members[victim].kill()?;
        // Lost or not: what became of it is asked below.
        let _ = removing.await?;
        cluster.members[victim].start()?;
        cluster.wait_serving(&[leader, asked], HEAL_TIMEOUT).await?;
        let left = list(cluster, asked).await?;
        let lost = left.has(id);
        println!(
            "round {round}: the removal {}",
            if lost { "was lost" } else { "was made" }
        );
        if lost {
            remove(cluster, asked, id).await?;
        }
        await_code(cluster, gone, 0).await?;
        change::join_killing(cluster, gone, victim, random).await?;
        change::agree(cluster).await?;
    }
    Ok(())
}

/// A member is removed while it is down, then starts on its old disk.
async fn returned(session: &mut Session) -> anyhow::Result<()> {
    let cluster = &mut session.cluster;
    let leader = cluster.leader().await.context("no leader")?;
    let gone = (leader + 1) % 3;
    cluster.members[gone].kill()?;
    let id = list(cluster, leader).await?.id_of(cluster, gone)?;
    remove(cluster, leader, id).await?;
    let before = change::term(cluster, leader).await?;
    for _ in 0..2 {
        cluster.members[gone].start()?;
        await_code(cluster, gone, 0).await?;
    }
    let said = "has been permanently removed from the cluster";
    if cluster.members[gone]
        .log_lines(|line| line.contains(said))
        .is_empty()
    {
        bail!("it does not say why it ended");
    }
    let after = change::term(cluster, leader).await?;
    if after != before || cluster.leader().await != Some(leader) {
        bail!("term {before} became {after}");
    }
    strangers(cluster, leader, id).await?;
    change::join_again(cluster, gone, true).await
}
