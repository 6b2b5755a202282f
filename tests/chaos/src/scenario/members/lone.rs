//! What needs a cluster of its own: members that never start, learners that must not count, and data
//! of another cluster.

use std::time::Duration;

use anyhow::{Context, bail};
use mainstay_proto::etcdserverpb as pb;
use rand::{SeedableRng, rngs::StdRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use super::change;
use crate::{
    cluster::{Cluster, HEAL_TIMEOUT, Setup},
    convert,
    options::Options,
    tally::Tally,
};

/// Longer than members must be in touch before others are added.
pub const IN_TOUCH: Duration = Duration::from_secs(6);
/// A put that needs a quorum that is not there has failed by then.
const NO_QUORUM: Duration = Duration::from_secs(3);
/// A leader whose hand-over has failed takes commands again within this time.
const TAKEN_BACK: Duration = Duration::from_secs(2);
/// A member that must not take part has not done so after this time.
const REFUSAL_WAIT: Duration = Duration::from_secs(4);

pub async fn run(options: &Options, tally: &mut Tally) -> anyhow::Result<()> {
    let never = never_started(options).await;
    tally.outcome(
        "M5 a member that never starts is added only where it is safe",
        never,
    );
    let counted = not_counted(options).await;
    tally.outcome("M10 a learner counts in no quorum and never leads", counted);
    let kept = leadership_kept(options).await;
    tally.outcome(
        "leadership that a paused member does not take is kept",
        kept,
    );
    let intended = intended(options).await;
    tally.outcome("a member is what its intent allows", intended);
    let foreign = foreign(options).await;
    tally.outcome("M9 data of another cluster is refused", foreign);
    Ok(())
}

async fn cluster(options: &Options, name: &str, members: u32) -> anyhow::Result<Cluster> {
    let directory = options.directory.join(name);
    std::fs::create_dir_all(&directory)?;
    let setup = Setup {
        members,
        mounted: Some(Vec::new()),
        ..Setup::default()
    };
    let mut random = StdRng::seed_from_u64(options.seed);
    Cluster::start(options, &setup, &directory, &mut random).await
}

async fn add(cluster: &Cluster, url: &str, is_learner: bool) -> Result<pb::Member, Status> {
    let request = pb::MemberAddRequest {
        peer_ur_ls: vec![url.to_owned()],
        is_learner,
    };
    let added = cluster.probe(0).cluster().member_add(request).await?;
    added
        .into_inner()
        .member
        .ok_or_else(|| Status::internal("no member"))
}

fn refused(answer: Result<pb::Member, Status>, text: &str) -> anyhow::Result<()> {
    match answer {
        Err(status) if status.message().contains(text) => Ok(()),
        other => bail!("{other:?} where {text:?} was due"),
    }
}

async fn put(cluster: &Cluster) -> anyhow::Result<()> {
    let put = convert::put("quorum", "yes", 0, false);
    timeout(NO_QUORUM, cluster.probe(0).kv().put(put)).await??;
    Ok(())
}

async fn never_started(options: &Options) -> anyhow::Result<()> {
    let mut cluster = cluster(options, "never", 3).await?;
    refused(
        add(&cluster, "http://127.0.0.1:1", false).await,
        "unhealthy cluster",
    )?;
    sleep(IN_TOUCH).await;
    cluster.members[2].kill()?;
    // It is noticed at once or at the next question.
    sleep(Duration::from_secs(2)).await;
    for learner in [false, true] {
        refused(
            add(&cluster, "http://127.0.0.1:1", learner).await,
            "unhealthy cluster",
        )?;
    }
    cluster.members[2].start()?;
    cluster.wait_healthy(HEAL_TIMEOUT).await?;
    sleep(IN_TOUCH).await;
    add(&cluster, "http://127.0.0.1:1", false).await?;
    add(&cluster, "http://127.0.0.1:2", false).await?;
    let third = add(&cluster, "http://127.0.0.1:3", false).await;
    refused(third, "not enough started members")?;
    // Two who never came take nothing from those who did.
    cluster.members[2].kill()?;
    put(&cluster)
        .await
        .context("a put with two of three that have started")
}

async fn not_counted(options: &Options) -> anyhow::Result<()> {
    let mut cluster = cluster(options, "learner", 3).await?;
    sleep(IN_TOUCH).await;
    change::replace_by_learner(&mut cluster, 2).await?;
    let id = change::list(&cluster, 0).await?.id_of(&cluster, 2)?;
    let leader = cluster.leader().await.context("no leader")?;
    let request = pb::MoveLeaderRequest { target_id: id };
    match cluster
        .probe(leader)
        .maintenance()
        .move_leader(request)
        .await
    {
        Err(status) if status.message().ends_with("bad leader transferee") => {}
        other => bail!("moving leadership to a learner: {other:?}"),
    }
    let read = convert::range("quorum", "", 0, 0, false);
    match cluster.probe(2).kv().range(read).await {
        Err(status) if status.message().ends_with("rpc not supported for learner") => {}
        other => bail!("a linearizable read of a learner: {other:?}"),
    }
    put(&cluster).await.context("both voters are up")?;
    cluster.members[2].kill()?;
    put(&cluster).await.context("only the learner is down")?;
    cluster.members[2].start()?;
    cluster.members[1].kill()?;
    match put(&cluster).await {
        Err(_) => {}
        Ok(()) => bail!("one voter and a learner were a quorum"),
    }
    cluster.members[1].start()?;
    cluster.wait_serving(&[0, 1], HEAL_TIMEOUT).await
}

/// The leader is told to hand over to a member that rests: it says that this took too long, and goes
/// on taking commands. The member that rested finds its way back.
async fn leadership_kept(options: &Options) -> anyhow::Result<()> {
    let mut cluster = cluster(options, "kept", 3).await?;
    for round in 0..3 {
        let leader = cluster.leader().await.context("no leader")?;
        let target = (leader + 1) % 3;
        let target_id = change::list(&cluster, leader)
            .await?
            .id_of(&cluster, target)?;
        cluster.members[target].pause()?;
        let request = pb::MoveLeaderRequest { target_id };
        let mut maintenance = cluster.probe(leader).maintenance();
        match maintenance.move_leader(request).await {
            Err(status) if status.message().contains("leader transfer took too long") => {}
            other => bail!("round {round}: moving leadership to a paused member: {other:?}"),
        }
        let put = convert::put("kept", "yes", 0, false);
        let put = timeout(TAKEN_BACK, cluster.probe(leader).kv().put(put)).await;
        put.with_context(|| format!("round {round}: no put within {TAKEN_BACK:?}"))??;
        if cluster.leader().await != Some(leader) {
            bail!("round {round}: another member leads");
        }
        cluster.members[target].resume()?;
        cluster.wait_healthy(HEAL_TIMEOUT).await?;
    }
    change::agree(&cluster).await
}

/// A member keeps its id and claims to be of another cluster: it never serves, it says why, and the
/// others go on.
async fn foreign(options: &Options) -> anyhow::Result<()> {
    let mut cluster = cluster(options, "foreign", 3).await?;
    cluster.members[2].kill()?;
    let file = cluster.members[2].disk.data().join("member/identity");
    let identity = std::fs::read_to_string(&file)?;
    let claimed: Vec<String> = identity
        .lines()
        .map(|line| match line.starts_with("cluster ") {
            true => "cluster 1234567".to_owned(),
            false => line.to_owned(),
        })
        .collect();
    std::fs::write(&file, claimed.join("\n") + "\n")?;
    cluster.members[2].start()?;
    sleep(REFUSAL_WAIT).await;
    if cluster.serves(2).await {
        bail!("it serves");
    }
    let said = cluster.members[0].log_lines(|line| line.contains("meant for another cluster"));
    if said.is_empty() {
        bail!("nobody says that it is of another cluster");
    }
    put(&cluster).await
}

/// One of three has an intent file: it lives and waits without one, takes part, is removed and lives
/// on, comes back in its next incarnation, and is held.
async fn intended(options: &Options) -> anyhow::Result<()> {
    let directory = options.directory.join("intended");
    std::fs::create_dir_all(&directory)?;
    let setup = Setup {
        members: 3,
        mounted: Some(Vec::new()),
        ..Setup::default()
    };
    let mut random = StdRng::seed_from_u64(options.seed);
    let mut cluster = Cluster::prepare(options, &setup, &directory, &mut random)?;
    let file = directory.join("intent.json");
    let flag = "--membership-intent-file".to_owned();
    let own = [flag, file.display().to_string()];
    cluster.members[2].arguments.extend(own);
    cluster.heal()?;
    cluster.wait_serving(&[0, 1], HEAL_TIMEOUT).await?;
    not_ready(&mut cluster, "intent").await?;
    // What the file lists holds, whatever the flag says.
    let mut listed = Vec::new();
    for member in &cluster.members {
        listed.push(format!("{}={}", member.name(), member.peer_url()));
    }
    let form = |list: &str| {
        format!(r#"{{"mode": "bootstrap", "incarnation": 1, "initialCluster": "{list}"}}"#)
    };
    std::fs::write(&file, form(&listed[..2].join(",")))?;
    not_ready(&mut cluster, "is not in the initialCluster").await?;
    std::fs::write(&file, form(&listed.join(",")))?;
    cluster.wait_healthy(HEAL_TIMEOUT).await?;
    sleep(IN_TOUCH).await;
    let id = change::list(&cluster, 0).await?.id_of(&cluster, 2)?;
    change::remove(&cluster, 0, id).await?;
    not_ready(&mut cluster, "was removed").await?;
    let url = cluster.members[2].peer_url();
    std::fs::write(&file, r#"{"mode": "join", "incarnation": 2}"#)?;
    not_ready(&mut cluster, "member count is unequal").await?;
    let added = add(&cluster, &url, false).await?;
    cluster.wait_healthy(HEAL_TIMEOUT).await?;
    if change::list(&cluster, 2).await?.id_of(&cluster, 2)? != added.id {
        bail!("it came back as another member than was added");
    }
    std::fs::write(&file, r#"{"mode": "hold", "incarnation": 2}"#)?;
    not_ready(&mut cluster, "hold").await?;
    let told = page(cluster.members[2].client_port, "/member").await?;
    if !told.contains(&format!("{:x}", added.id)) || !told.contains(r#""log":{"index":"#) {
        bail!("it does not tell what it holds: {told}");
    }
    std::fs::write(&file, r#"{"mode": "join", "incarnation": 2}"#)?;
    cluster.wait_healthy(HEAL_TIMEOUT).await?;
    change::agree(&cluster).await
}

/// Waits until member 2 lives and says that it is not ready for a reason that holds these words.
async fn not_ready(cluster: &mut Cluster, why: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + HEAL_TIMEOUT;
    loop {
        if let Some(status) = cluster.members[2].exited() {
            bail!("it ended with {status}");
        }
        let port = cluster.members[2].client_port;
        let ready = page(port, "/readyz").await.unwrap_or_default();
        if ready.starts_with("HTTP/1.1 503") && ready.contains(why) {
            let live = page(port, "/livez").await?;
            if !live.starts_with("HTTP/1.1 200") {
                bail!("it does not say that it lives: {live}");
            }
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("not ready because of {why:?} is due, it says {ready:?}");
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn page(port: u16, path: &str) -> anyhow::Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await?;
        anyhow::Ok(page)
    };
    timeout(NO_QUORUM, asked).await?
}
