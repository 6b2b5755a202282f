//! Forming clusters, refusing to form one, and ending in order.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use mainstay_proto::etcdserverpb as pb;
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep};

use crate::{
    cluster::{Cluster, HEAL_TIMEOUT, Setup},
    convert,
    options::Options,
    tally::Tally,
};

/// Between the starts of two members of one cluster: they wait for each other.
const START_GAP: Duration = Duration::from_secs(3);

/// A member that must not take part has not done so after this time.
const REFUSAL_WAIT: Duration = Duration::from_secs(4);

/// Ending in order, with the transfer of leadership and a flush.
const END_TIMEOUT: Duration = Duration::from_secs(8);

/// Long elections, so that a handover without one can be told from one.
const ELECTION_MILLIS: u64 = 3000;
const HEARTBEAT_MILLIS: u64 = 100;

/// The longest time without a write when a leader hands over.
const HANDOVER_MAX: Duration = Duration::from_millis(1500);

/// # Errors
/// If it cannot be carried out on this machine.
pub async fn run(options: &Options, tally: &mut Tally) -> anyhow::Result<()> {
    for members in [1, 3, 5] {
        let formed = one_by_one(options, members).await;
        let name = format!("{members} members started one by one form a cluster");
        tally.outcome(&name, formed);
    }
    tally.outcome("different tokens form no cluster", tokens(options).await);
    tally.outcome("a wiped member refuses", wiped(options).await);
    let handed = handover(options).await;
    tally.outcome("a leader that is told to stop hands over", handed);
    tally.outcome("all members stop at once", stop_all(options).await);
    tally.outcome("a second process is refused", second_process(options).await);
    tally.outcome("an unknown flag creates nothing", unknown_flag(options));
    Ok(())
}

fn prepare(options: &Options, name: &str, setup: &Setup) -> anyhow::Result<Cluster> {
    let directory = options.directory.join(name);
    std::fs::create_dir_all(&directory)?;
    let mut random = StdRng::seed_from_u64(options.seed);
    Cluster::prepare(options, setup, &directory, &mut random)
}

fn plain(members: u32) -> Setup {
    Setup {
        members,
        mounted: Some(Vec::new()),
        ..Setup::default()
    }
}

/// The same, with the timers of a cluster that elects slowly.
fn slow_elections(members: u32) -> Setup {
    let flags = [
        ("--heartbeat-interval", HEARTBEAT_MILLIS),
        ("--election-timeout", ELECTION_MILLIS),
    ];
    Setup {
        arguments: flags
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value.to_string()])
            .collect(),
        ..plain(members)
    }
}

async fn one_by_one(options: &Options, members: u32) -> anyhow::Result<()> {
    let mut cluster = prepare(options, &format!("formed-{members}"), &plain(members))?;
    let members = members as usize;
    for index in 0..members {
        if index > 0 {
            sleep(START_GAP).await;
        }
        if index > 0 && index <= members / 2 && cluster.serves(0).await {
            bail!("member 0 serves with {index} of {members} members");
        }
        cluster.members[index].start()?;
        if index == members / 2 {
            let majority: Vec<usize> = (0..=index).collect();
            cluster.wait_serving(&majority, HEAL_TIMEOUT).await?;
        }
    }
    cluster.wait_healthy(HEAL_TIMEOUT).await?;
    let mut seen = Vec::new();
    for index in 0..members {
        let put = convert::put(&format!("from-{index}"), "yes", 0, false);
        cluster.probe(index).kv().put(put).await?;
        let list = pb::MemberListRequest { linearizable: true };
        let list = cluster.probe(index).cluster().member_list(list).await?;
        let list = list.into_inner();
        let mut names: Vec<String> = list.members.into_iter().map(|one| one.name).collect();
        names.sort();
        let header = list.header.context("no header")?;
        seen.push((header.cluster_id, names));
    }
    let named = seen.iter().all(|(_, names)| names.len() == members);
    match named && seen.windows(2).all(|pair| pair[0] == pair[1]) {
        true => Ok(()),
        false => bail!("members see different clusters: {seen:?}"),
    }
}

/// Every member has a token of its own, so no two are of one cluster.
async fn tokens(options: &Options) -> anyhow::Result<()> {
    let mut cluster = prepare(options, "tokens", &plain(3))?;
    for member in &mut cluster.members {
        let own = format!("token-{}", member.index);
        member
            .arguments
            .extend(["--initial-cluster-token".to_owned(), own]);
        member.start()?;
    }
    sleep(REFUSAL_WAIT).await;
    for index in 0..3 {
        if cluster.serves(index).await {
            bail!("member {index} serves");
        }
    }
    Ok(())
}

/// A member comes back without its data: it ends with one line, the others go on, and it does so
/// again however often it is started.
async fn wiped(options: &Options) -> anyhow::Result<()> {
    let mut cluster = prepare(options, "wiped", &plain(3))?;
    cluster.heal()?;
    cluster.wait_healthy(HEAL_TIMEOUT).await?;
    let member = &mut cluster.members[1];
    member.kill()?;
    for _ in 0..2 {
        let data = member.disk.data();
        if data.exists() {
            std::fs::remove_dir_all(&data)?;
        }
        member.start()?;
        let status = member.wait_end(HEAL_TIMEOUT).await?;
        if status.success() {
            bail!("it ended with {status}");
        }
        let said = member.log_lines(|line| line.contains("has already been bootstrapped"));
        println!("{status}: {}", said.last().context("it does not say why")?);
    }
    cluster.wait_serving(&[0, 2], HEAL_TIMEOUT).await
}

/// Writes through another member go on at once, without waiting for an election.
async fn handover(options: &Options) -> anyhow::Result<()> {
    let mut cluster = prepare(options, "handover", &slow_elections(3))?;
    cluster.heal()?;
    cluster.wait_healthy(HEAL_TIMEOUT).await?;
    let leader = cluster.leader().await.context("no leader")?;
    let other = cluster.connect()?.swap_remove((leader + 1) % 3);
    let told = Instant::now();
    cluster.members[leader].terminate()?;
    let mut longest = Duration::ZERO;
    while told.elapsed() < Duration::from_millis(ELECTION_MILLIS) {
        let started = Instant::now();
        let put = convert::put("handover", "yes", 0, false);
        other.kv().put(put).await?;
        longest = longest.max(started.elapsed());
    }
    let status = cluster.members[leader].wait_end(END_TIMEOUT).await?;
    println!("the longest put took {longest:.0?}; the leader ended with {status}");
    if !status.success() {
        bail!("the leader ended with {status}");
    }
    match longest <= HANDOVER_MAX {
        true => Ok(()),
        false => bail!("a put took {longest:?}"),
    }
}

async fn stop_all(options: &Options) -> anyhow::Result<()> {
    let mut cluster = prepare(options, "stop-all", &plain(3))?;
    cluster.heal()?;
    cluster.wait_healthy(HEAL_TIMEOUT).await?;
    let started = Instant::now();
    for member in &mut cluster.members {
        member.terminate()?;
    }
    for member in &mut cluster.members {
        let status = member.wait_end(END_TIMEOUT).await?;
        println!(
            "{} ended with {status} after {:.1?}",
            member.name(),
            started.elapsed()
        );
        if !status.success() {
            bail!("{} ended with {status}", member.name());
        }
    }
    cluster.heal()?;
    cluster.wait_healthy(HEAL_TIMEOUT).await
}

/// Runs the server until it ends by itself, with at most a few seconds for that.
fn output(options: &Options, arguments: &[String], data: &Path) -> anyhow::Result<Output> {
    let child = Command::new("timeout")
        .arg("10")
        .arg(&options.bin)
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .stdin(Stdio::null())
        .output();
    child.context("timeout(1)")
}

async fn second_process(options: &Options) -> anyhow::Result<()> {
    let mut cluster = prepare(options, "second", &plain(1))?;
    cluster.heal()?;
    cluster.wait_healthy(HEAL_TIMEOUT).await?;
    let member = &cluster.members[0];
    let ended = output(options, &member.arguments, &member.disk.data())?;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    println!("{}: {said}", ended.status);
    if ended.status.code() != Some(1) || !said.contains("in use by another process") {
        bail!("it ended with {}: {said}", ended.status);
    }
    match cluster.serves(0).await {
        true => Ok(()),
        false => bail!("the first process no longer serves"),
    }
}

fn unknown_flag(options: &Options) -> anyhow::Result<()> {
    let data = options.directory.join("unknown-flag");
    let ended = output(options, &["--no-such-flag".to_owned()], &data)?;
    if ended.status.code() != Some(2) {
        bail!("it ended with {}", ended.status);
    }
    match data.exists() {
        true => bail!("it made {}", data.display()),
        false => Ok(()),
    }
}
