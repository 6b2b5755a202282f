//! Changes of the members, as an operator makes them.

use std::time::Duration;

use anyhow::{Context, bail};
use mainstay_proto::etcdserverpb as pb;
use rand::{Rng, rngs::StdRng};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use crate::{
    cluster::{Cluster, HEAL_TIMEOUT},
    connection::Connection,
};

/// How long a change may be refused: members must have been in touch for five seconds first.
const ALLOWED_MAX: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);
/// A request is answered by then, or it never is.
const ANSWER_MAX: Duration = Duration::from_secs(12);
/// A removed member ends by then.
const END_MAX: Duration = Duration::from_secs(15);

/// The members as one of them lists them.
pub struct Listed(Vec<pb::Member>);

impl Listed {
    pub fn id_of(&self, cluster: &Cluster, member: usize) -> anyhow::Result<u64> {
        let url = cluster.members[member].peer_url();
        let found = self.0.iter().find(|one| one.peer_ur_ls.contains(&url));
        Ok(found.with_context(|| format!("{url} is not listed"))?.id)
    }

    pub fn has(&self, id: u64) -> bool {
        self.0.iter().any(|one| one.id == id)
    }
}

pub async fn list(cluster: &Cluster, through: usize) -> anyhow::Result<Listed> {
    let request = pb::MemberListRequest { linearizable: true };
    let mut client = cluster.probe(through).cluster();
    let listed = timeout(ANSWER_MAX, client.member_list(request)).await??;
    Ok(Listed(listed.into_inner().members))
}

pub async fn term(cluster: &Cluster, member: usize) -> anyhow::Result<u64> {
    let mut client = cluster.probe(member).maintenance();
    let status = client.status(pb::StatusRequest {}).await?.into_inner();
    Ok(status.raft_term)
}

/// Tries until the cluster has been in touch for long enough to allow it.
async fn allowed<T>(mut attempt: impl AsyncFnMut() -> Result<T, Status>) -> anyhow::Result<T> {
    let deadline = Instant::now() + ALLOWED_MAX;
    loop {
        match timeout(ANSWER_MAX, attempt()).await? {
            Ok(answer) => return Ok(answer),
            Err(status) if Instant::now() < deadline && is_passing(&status) => sleep(PAUSE).await,
            Err(status) => bail!("refused: {}", status.message()),
        }
    }
}

/// Refusals that a while mends.
fn is_passing(status: &Status) -> bool {
    let text = status.message();
    text.contains("unhealthy cluster") || text.contains("in sync with leader")
}

pub async fn remove(cluster: &Cluster, through: usize, id: u64) -> anyhow::Result<()> {
    let connection = cluster.probe(through).clone();
    allowed(async || remove_by(connection.clone(), id).await).await
}

/// One try.
pub async fn remove_by(connection: Connection, id: u64) -> Result<(), Status> {
    let request = pb::MemberRemoveRequest { id };
    connection.cluster().member_remove(request).await.map(drop)
}

/// Waits until a member has ended by itself with this code.
pub async fn await_code(cluster: &mut Cluster, member: usize, code: i32) -> anyhow::Result<()> {
    let status = cluster.members[member].wait_end(END_MAX).await?;
    match status.code() == Some(code) {
        true => Ok(()),
        false => bail!("member {member} ended with {status}"),
    }
}

/// Removes a member and adds one with its name, URLs and ports, and an empty disk.
pub async fn replace(cluster: &mut Cluster, member: usize, learner: bool) -> anyhow::Result<()> {
    let through = (member + 1) % cluster.members.len();
    let id = list(cluster, through).await?.id_of(cluster, member)?;
    remove(cluster, through, id).await?;
    await_code(cluster, member, 0).await?;
    join_again(cluster, member, learner).await
}

/// Adds a member that was removed again, empty; as a learner first where that is asked for.
pub async fn join_again(cluster: &mut Cluster, member: usize, learner: bool) -> anyhow::Result<()> {
    let through = (member + 1) % cluster.members.len();
    let added = add(cluster, through, member, learner).await?;
    start_joining(cluster, member, &added.members)?;
    let id = added.member.context("no member in the answer")?.id;
    if learner {
        promote(cluster, through, id).await?;
    }
    cluster.wait_serving(&[member], HEAL_TIMEOUT).await?;
    agree(cluster).await
}

/// Replaces a member by a learner that is not promoted.
pub async fn replace_by_learner(cluster: &mut Cluster, member: usize) -> anyhow::Result<()> {
    let through = (member + 1) % cluster.members.len();
    let id = list(cluster, through).await?.id_of(cluster, member)?;
    remove(cluster, through, id).await?;
    await_code(cluster, member, 0).await?;
    let added = add(cluster, through, member, true).await?;
    start_joining(cluster, member, &added.members)?;
    let deadline = Instant::now() + HEAL_TIMEOUT;
    // It has started once it lists itself by its name.
    let name = cluster.members[member].name();
    while !list(cluster, through)
        .await?
        .0
        .iter()
        .any(|one| one.name == name)
    {
        if Instant::now() > deadline {
            bail!("the learner does not start");
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// The same for a voter, with another member killed at some moment of it.
pub async fn join_killing(
    cluster: &mut Cluster,
    member: usize,
    victim: usize,
    random: &mut StdRng,
) -> anyhow::Result<()> {
    let through = (0..3).find(|one| *one != member && *one != victim);
    let through = through.context("three members")?;
    let added = add(cluster, through, member, false).await?;
    start_joining(cluster, member, &added.members)?;
    sleep(Duration::from_millis(random.random_range(0..400))).await;
    cluster.members[victim].kill()?;
    sleep(Duration::from_millis(random.random_range(0..200))).await;
    cluster.members[victim].start()?;
    cluster.wait_healthy(HEAL_TIMEOUT).await
}

async fn add(
    cluster: &Cluster,
    through: usize,
    member: usize,
    learner: bool,
) -> anyhow::Result<pb::MemberAddResponse> {
    let request = pb::MemberAddRequest {
        peer_ur_ls: vec![cluster.members[member].peer_url()],
        is_learner: learner,
    };
    let connection = cluster.probe(through).clone();
    let added = async || connection.cluster().member_add(request.clone()).await;
    Ok(allowed(added).await?.into_inner())
}

async fn promote(cluster: &Cluster, through: usize, id: u64) -> anyhow::Result<()> {
    let connection = cluster.probe(through).clone();
    let request = pb::MemberPromoteRequest { id };
    allowed(async || connection.cluster().member_promote(request).await.map(drop)).await
}

/// What `etcdctl member add` tells an operator to start the member with.
fn start_joining(
    cluster: &mut Cluster,
    member: usize,
    listed: &[pb::Member],
) -> anyhow::Result<()> {
    let own = cluster.members[member].peer_url();
    let name = cluster.members[member].name();
    let peers: Vec<String> = listed
        .iter()
        .flat_map(|one| one.peer_ur_ls.iter().map(move |url| (one, url)))
        .map(|(one, url)| match *url == own {
            true => format!("{name}={url}"),
            false => format!("{}={url}", one.name),
        })
        .collect();
    let member = &mut cluster.members[member];
    member.set_flag("--initial-cluster", &peers.join(","));
    member.set_flag("--initial-cluster-state", "existing");
    let data = member.disk.data();
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    member.start()
}

/// All members list the same members, all of them voters that have started.
pub async fn agree(cluster: &Cluster) -> anyhow::Result<()> {
    let first = list(cluster, 0).await?.0;
    let whole = |one: &pb::Member| !one.is_learner && !one.name.is_empty();
    if first.len() != cluster.members.len() || !first.iter().all(whole) {
        bail!("members are {first:?}");
    }
    for member in 1..cluster.members.len() {
        let other = list(cluster, member).await?.0;
        if other != first {
            bail!("member {member} lists {other:?}, member 0 {first:?}");
        }
    }
    Ok(())
}

/// A removed id is not found, and neither is one that never was.
pub async fn strangers(cluster: &Cluster, through: usize, removed: u64) -> anyhow::Result<()> {
    for id in [removed, 12_345] {
        let connection = cluster.probe(through).clone();
        let refused = remove_by(connection, id).await;
        match refused {
            Err(status) if status.message() == "etcdserver: member not found" => {}
            other => bail!("removing {id:x}: {other:?}"),
        }
    }
    Ok(())
}
