//! A leader that was stopped and replaced wakes, and is asked at once about a lease that it has never
//! heard of. It must not deny it: answers of followers from before the stop, read after it, do not
//! make it the leader.

use std::time::Duration;

use anyhow::{Context, bail};
use mainstay_proto::etcdserverpb as pb;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    bulk::{Pool, Steady},
    cluster::{Cluster, HEAL_TIMEOUT},
    connection::Connection,
};

const WAKES: usize = 12;
/// Writers at once: the more appends are under way, the more answers wait for the leader.
const WRITERS: usize = 24;
/// How long it is asked again and again: it learns of the next term within a heartbeat or two.
const ASKED: Duration = Duration::from_millis(300);
/// Seconds, beyond the length of one round.
const TTL: i64 = 60;
/// An answer that waits for the new leader takes an election timeout or two.
const ANSWER_MAX: Duration = Duration::from_secs(9);

/// # Errors
/// If a lease was denied, or a member does not come back.
pub async fn run(cluster: &mut Cluster, pool: &Pool) -> anyhow::Result<()> {
    let mut answered = 0;
    for round in 0..WAKES {
        let leader = cluster.leader().await.context("no leader")?;
        let connections = cluster.connect()?;
        // Appends are under way when it is stopped, so that answers wait for it.
        let crowd: Vec<_> = connections.iter().cycle().take(WRITERS).cloned().collect();
        let mut steady = Steady::spawn(&crowd, pool, Duration::ZERO);
        let (ask, questions) = mpsc::channel(1);
        let mut lease = connections[leader].lease();
        let id = granted(&connections[leader]).await?;
        ask.send(pb::LeaseKeepAliveRequest { id }).await?;
        let opened = lease.lease_keep_alive(ReceiverStream::new(questions));
        let mut answers = timeout(ANSWER_MAX, opened).await??.into_inner();
        let first = timeout(ANSWER_MAX, answers.message()).await??;
        if first.is_none_or(|answer| answer.ttl != TTL) {
            bail!("round {round}: the leader renews no lease of its own");
        }
        cluster.members[leader].pause()?;
        let other = &connections[(leader + 1) % connections.len()];
        let id = granted(other).await?;
        // It lies there for the leader to find when it wakes.
        ask.send(pb::LeaseKeepAliveRequest { id }).await?;
        cluster.members[leader].resume()?;
        let woken = Instant::now();
        loop {
            let answer = timeout(ANSWER_MAX, answers.message()).await;
            let answer = answer.context("a keep-alive has no answer")?;
            // A stream may be refused; what is said on it must be true.
            let Ok(Some(answer)) = answer else { break };
            answered += 1;
            if answer.ttl <= 0 {
                bail!("round {round}: a leader that had been stopped denied lease {id}");
            }
            if woken.elapsed() >= ASKED {
                break;
            }
            ask.send(pb::LeaseKeepAliveRequest { id }).await?;
        }
        steady.stop().await?;
        cluster.wait_healthy(HEAL_TIMEOUT).await?;
    }
    match answered {
        0 => bail!("no keep-alive was answered"),
        _ => Ok(()),
    }
}

/// A lease of the next leader, as soon as there is one.
async fn granted(connection: &Connection) -> anyhow::Result<i64> {
    let until = Instant::now() + HEAL_TIMEOUT;
    loop {
        let request = pb::LeaseGrantRequest { ttl: TTL, id: 0 };
        let mut lease = connection.lease();
        match timeout(ANSWER_MAX, lease.lease_grant(request)).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner().id),
            Ok(Err(status)) if Instant::now() >= until => bail!("no lease is granted: {status}"),
            Err(_) if Instant::now() >= until => bail!("no lease is granted: no answer"),
            _ => sleep(Duration::from_millis(50)).await,
        }
    }
}
