//! Members without whom the others must get along: a dead follower costs the leader nothing, a
//! lost leader leaves no request without an answer, one that wakes says nothing untrue, and requests that no quorum takes are refused
//! beyond limits, not piled up.

mod waking;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, bail};
use mainstay_proto::etcdserverpb as pb;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    bulk::{Pool, Steady},
    cluster::{Cluster, HEAL_TIMEOUT, Setup},
    connection::Connection,
    convert,
    member::Member,
    options::Options,
    process,
    tally::Tally,
};

/// Processor time that a dead follower may cost the leader, in thousandths of the time.
const DEAD_FOLLOWER_MILLIS_MAX: u64 = 20;

/// A put that cannot be applied is answered after five seconds and two election timeouts of half
/// a second; the rest is for a slow machine.
const ANSWER_MAX: Duration = Duration::from_secs(9);

/// Puts on their way when the leader is lost.
const PUTS_UNDER_WAY: usize = 500;

/// The value of puts that must not be applied.
const ORPHAN: &[u8] = b"orphan";

/// Puts at one time without a quorum.
const FLOOD: usize = 50_000;
const FLOOD_CONNECTIONS: usize = 10;

/// What one flood may add to the member's memory: 20,000 waiting requests of a kibibyte, the
/// 30,000 answers of the others, and HTTP/2's bookkeeping for all of them.
const FLOOD_MEMORY_MAX: u64 = 768 << 20;

/// What a later flood may add to the peak of the first.
const FLOOD_GROWTH_MAX: u64 = 192 << 20;

const FLOODS: usize = 5;

/// # Errors
/// If it cannot be carried out on this machine.
pub async fn run(options: &Options, tally: &mut Tally) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(options.seed);
    let setup = Setup {
        members: 3,
        mounted: Some(Vec::new()),
        ..Setup::default()
    };
    let directory = options.directory.join("quorum");
    std::fs::create_dir_all(&directory)?;
    let mut cluster = Cluster::start(options, &setup, &directory, &mut random).await?;
    let pool = Pool::new(options.seed);
    let flat = dead_follower(&mut cluster, &pool, options.seconds).await;
    tally.outcome("a dead follower costs the leader next to nothing", flat);
    for stops in [false, true] {
        let name = if stops {
            "every put is answered when the leader stalls"
        } else {
            "every put is answered when the leader dies"
        };
        tally.outcome(name, lost_leader(&mut cluster, stops).await);
    }
    tally.outcome(
        "a put that timed out on a follower is not applied when there is a leader again",
        orphans(&mut cluster, &pool).await,
    );
    tally.outcome(
        "a leader that wakes denies no lease",
        waking::run(&mut cluster, &pool).await,
    );
    let flooded = flood(&mut cluster, &pool).await;
    tally.outcome("without a quorum puts are refused, not piled up", flooded);
    let panics: Vec<String> = cluster.members.iter().flat_map(Member::panics).collect();
    tally.check("no member panicked", &panics);
    Ok(())
}

/// The leader's processor time over the same time and load, with and without a follower.
async fn dead_follower(cluster: &mut Cluster, pool: &Pool, seconds: u64) -> anyhow::Result<()> {
    let leader = cluster.leader().await.context("no leader")?;
    let pid = cluster.members[leader].pid().context("no process")?;
    let connections = cluster.connect()?;
    let writer = std::slice::from_ref(&connections[leader]);
    let mut steady = Steady::spawn(writer, pool, Duration::from_millis(20));
    sleep(Duration::from_secs(2)).await;
    let mut spent = Vec::new();
    for alone in [false, true] {
        if alone {
            cluster.members[(leader + 1) % 3].kill()?;
        }
        let (cpu, puts) = (process::cpu_time(pid)?, steady.count());
        let started = Instant::now();
        sleep(Duration::from_secs(seconds)).await;
        let share = (process::cpu_time(pid)? - cpu).as_millis() as u64 * 1000
            / started.elapsed().as_millis() as u64;
        let puts = steady.count() - puts;
        println!(
            "leader: {}.{} % of a core over {puts} puts{}",
            share / 10,
            share % 10,
            if alone { " without a follower" } else { "" }
        );
        spent.push(share);
    }
    steady.stop().await?;
    if cluster.leader().await != Some(leader) {
        bail!("the leader changed meanwhile");
    }
    cluster.heal()?;
    cluster.wait_healthy(HEAL_TIMEOUT).await?;
    match spent[1] <= spent[0] + DEAD_FOLLOWER_MILLIS_MAX {
        true => Ok(()),
        false => bail!("{} thousandths of a core became {}", spent[0], spent[1]),
    }
}

/// Puts through a follower while the leader is killed or stopped: each has its answer in time.
async fn lost_leader(cluster: &mut Cluster, stops: bool) -> anyhow::Result<()> {
    let leader = cluster.leader().await.context("no leader")?;
    let follower = &cluster.connect()?[(leader + 1) % 3];
    let mut puts = JoinSet::new();
    for number in 0..PUTS_UNDER_WAY {
        puts.spawn(put(follower.clone(), number, b"forwarded".to_vec().into()));
        // Spread, so that some are being forwarded at the moment of the loss.
        if number == PUTS_UNDER_WAY / 2 {
            match stops {
                true => cluster.members[leader].pause()?,
                false => cluster.members[leader].kill()?,
            }
        }
        tokio::task::yield_now().await;
    }
    let answers = puts.join_all().await;
    report(&answers)?;
    cluster.heal()?;
    cluster.wait_healthy(HEAL_TIMEOUT).await
}

/// Puts through a follower whose leader is dead and that has no quorum to elect another: each fails,
/// and none is kept to be handed over to the next leader.
async fn orphans(cluster: &mut Cluster, pool: &Pool) -> anyhow::Result<()> {
    let leader = cluster.leader().await.context("no leader")?;
    let survivor = (leader + 1) % 3;
    for away in [leader, (leader + 2) % 3] {
        cluster.members[away].kill()?;
    }
    let connection = cluster.connect()?.swap_remove(survivor);
    let mut puts = JoinSet::new();
    for number in 0..PUTS_UNDER_WAY {
        puts.spawn(put(connection.clone(), number, ORPHAN.into()));
    }
    let answers = puts.join_all().await;
    let kinds = report(&answers)?;
    if kinds.contains_key("ok") {
        bail!("a put succeeded without a quorum");
    }
    cluster.heal()?;
    cluster.wait_healthy(HEAL_TIMEOUT).await?;
    // It goes through the queue in which the others would stand.
    let (answer, _) = put(connection.clone(), 0, pool.kibibyte()).await;
    if answer.as_deref() != Some("ok") {
        bail!("the first put with a quorum again: {answer:?}");
    }
    let all = convert::range("put/", "put0", 0, 0, false);
    let found = connection.kv().range(all).await?.into_inner().kvs;
    let late = found.iter().filter(|kv| kv.value == ORPHAN).count();
    match late {
        0 => Ok(()),
        late => bail!("{late} puts were applied after they had timed out"),
    }
}

/// What became of a put, and when.
type Answer = (Option<String>, Duration);

async fn put(connection: Connection, number: usize, value: bytes::Bytes) -> Answer {
    let put = pb::PutRequest {
        key: format!("put/{number:06}").into(),
        value,
        ..Default::default()
    };
    let started = Instant::now();
    let mut kv = connection.kv();
    // Far beyond what is allowed, so that a put without an answer is seen as one.
    let answer = match timeout(ANSWER_MAX * 4, kv.put(put)).await {
        Ok(Ok(_)) => Some("ok".to_owned()),
        Ok(Err(status)) => Some(status.message().to_owned()),
        Err(_) => None,
    };
    (answer, started.elapsed())
}

/// Prints the kinds of answers and fails for one that is missing or late.
fn report(answers: &[Answer]) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for (answer, _) in answers {
        let Some(answer) = answer else {
            bail!("a put has no answer");
        };
        *kinds.entry(answer.clone()).or_default() += 1;
    }
    let slowest = answers.iter().map(|(_, after)| *after).max();
    let slowest = slowest.unwrap_or_default();
    println!("{kinds:?}, the last after {slowest:.1?}");
    match slowest <= ANSWER_MAX {
        true => Ok(kinds),
        false => bail!("an answer took {slowest:.1?}"),
    }
}

/// One member of three is left and gets all the puts at once, several times.
async fn flood(cluster: &mut Cluster, pool: &Pool) -> anyhow::Result<()> {
    let member = cluster.leader().await.context("no leader")?;
    let pid = cluster.members[member].pid().context("no process")?;
    for away in [1, 2] {
        cluster.members[(member + away) % 3].kill()?;
    }
    let connections: Vec<Connection> = (0..FLOOD_CONNECTIONS)
        .map(|_| Ok(cluster.connect()?.swap_remove(member)))
        .collect::<anyhow::Result<_>>()?;
    let before = process::resident_bytes(pid)?;
    let mut peaks = Vec::new();
    let mut refused = 0;
    for _ in 0..FLOODS {
        let mut puts = JoinSet::new();
        for number in 0..FLOOD {
            let connection = connections[number % FLOOD_CONNECTIONS].clone();
            puts.spawn(put(connection, number, pool.kibibyte()));
        }
        let mut answers = Vec::new();
        let mut peak = 0;
        while !puts.is_empty() {
            // The time only paces the look at the memory.
            let _ = timeout(Duration::from_millis(50), async {
                while let Some(answer) = puts.join_next().await {
                    answers.push(answer);
                }
            })
            .await;
            peak = peak.max(process::resident_bytes(pid)?);
        }
        let answers: Vec<Answer> = answers.into_iter().collect::<Result<_, _>>()?;
        println!("{} MiB before, {} MiB at most", before >> 20, peak >> 20);
        peaks.push(peak);
        let kinds = flooded(&answers)?;
        refused += kinds.get("etcdserver: too many requests").unwrap_or(&0);
        if kinds.contains_key("ok") {
            bail!("a put succeeded without a quorum");
        }
    }
    cluster.heal()?;
    cluster.wait_healthy(HEAL_TIMEOUT).await?;
    let (answer, _) = put(connections[0].clone(), 0, pool.kibibyte()).await;
    if answer.as_deref() != Some("ok") {
        bail!("the first put with a quorum again: {answer:?}");
    }
    if refused == 0 {
        bail!("no put was refused");
    }
    let (first, last) = (peaks[0], peaks[FLOODS - 1]);
    if first.saturating_sub(before) > FLOOD_MEMORY_MAX || last > first + FLOOD_GROWTH_MAX {
        bail!("memory was {before} bytes before and {peaks:?} at most");
    }
    Ok(())
}

/// Like [`report`], but so many puts may keep client and machine busy for longer than they wait.
fn flooded(answers: &[Answer]) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut in_time: Vec<Answer> = answers.to_vec();
    let slowest = in_time.iter().map(|(_, after)| *after).max();
    println!(
        "the last answer of the flood after {:.1?}",
        slowest.unwrap_or_default()
    );
    if slowest.is_some_and(|slowest| slowest > ANSWER_MAX * 3) {
        bail!("an answer took {slowest:?}");
    }
    for answer in &mut in_time {
        answer.1 = Duration::ZERO;
    }
    report(&in_time)
}
