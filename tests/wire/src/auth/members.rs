use anyhow::{Context, Result, ensure};
use mainstay_proto::authpb::permission::Type;
use mainstay_proto::etcdserverpb as pb;
use prost::Message;
use tonic::transport::Channel;

use super::rpc::{self, Call, Ended};
use super::stage;
use crate::cluster::{Cluster, Plan};
use crate::options::Options;

/// Rounds of changes while writers go on.
const ROUNDS: usize = 15;

/// Three members: a token of one is known to all, roles change under load, a member is killed
/// meanwhile, and at the end all of them say the same of users, roles and keys.
pub async fn run(options: &Options) -> Result<()> {
    let plan = Plan::new(options.subject(), "mainstay", 3)
        .tls(options.tls)
        .server_side_only()
        .flag("--bcrypt-cost=4");
    let mut cluster = Cluster::start(&plan).await?;
    let mut channels = connect(&cluster).await?;
    // The leader first: the last one is killed, and the load goes on without an election.
    let leads = leader(&channels).await?;
    cluster.peers.swap(0, leads);
    channels.swap(0, leads);
    for step in [
        stage::user_add("root", stage::ROOT_PASSWORD),
        stage::grant_role("root", "root"),
        stage::role_add("tenant"),
        stage::permit("tenant", Type::Readwrite, "a", "c"),
        stage::user_add("alice", stage::PASSWORD),
        stage::grant_role("alice", "tenant"),
        stage::enable(),
    ] {
        must(&channels[0], None, &step).await?;
    }
    let root = rpc::log_in(&channels[0], "root", stage::ROOT_PASSWORD).await?;
    let alice = rpc::log_in(&channels[1], "alice", stage::PASSWORD).await?;
    // At once, on members that may not have applied the log-in yet.
    for channel in &channels {
        must(channel, Some(&alice), &rpc::put("a")).await?;
        must(channel, Some(&root), &stage::user_list()).await?;
    }
    for round in 0..ROUNDS {
        if round == 5 {
            cluster.peers[2].kill().await?;
        }
        let role = format!("role{round}");
        let (changed, wrote) = tokio::join!(
            change(&channels[0], &root, &role),
            write(&channels[1], &alice, round)
        );
        changed?;
        wrote?;
        if round == 9 {
            cluster.peers[2].restart()?;
        }
    }
    cluster.ready().await?;
    channels = connect(&cluster).await?;
    // A member that was started again knows no token: whoever comes logs in there.
    let stale = rpc::call(&channels[2], Some(&alice), &rpc::range("a", "")).await?;
    ensure!(
        stale.ended.text().contains("invalid auth token"),
        "{stale:?}"
    );
    agree(&channels).await
}

async fn connect(cluster: &Cluster) -> Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for member in 0..cluster.peers.len() {
        channels.push(stage::connect(cluster, member).await?);
    }
    Ok(channels)
}

/// The position of the member that leads.
async fn leader(channels: &[Channel]) -> Result<usize> {
    let status = Call::new("/etcdserverpb.Maintenance/Status", &pb::StatusRequest {});
    for (at, channel) in channels.iter().enumerate() {
        let answer = pb::StatusResponse::decode(must(channel, None, &status).await?)?;
        let own = answer.header.unwrap_or_default().member_id;
        if answer.leader == own {
            return Ok(at);
        }
    }
    anyhow::bail!("no member leads")
}

async fn must(channel: &Channel, token: Option<&str>, call: &Call) -> Result<bytes::Bytes> {
    let answer = rpc::call(channel, token, call).await?;
    ensure!(
        answer.ended == Ended::Let,
        "{}: {:?}",
        call.path,
        answer.ended
    );
    Ok(answer.body)
}

async fn change(channel: &Channel, root: &str, role: &str) -> Result<()> {
    for step in [
        stage::role_add(role),
        stage::permit(role, Type::Read, "x", "\0"),
        stage::grant_role("alice", role),
        stage::forbid(role, "x", "\0"),
        stage::revoke_role("alice", role),
    ] {
        must(channel, Some(root), &step).await?;
    }
    Ok(())
}

/// Puts that are let in, or told that the rights they were let in by are no longer the latest.
async fn write(channel: &Channel, alice: &str, round: usize) -> Result<()> {
    for number in 0..20 {
        let key = format!("a{round}-{number}");
        let ended = rpc::call(channel, Some(alice), &rpc::put(&key))
            .await?
            .ended;
        let old = ended.text().contains("revision of auth store is old");
        ensure!(ended == Ended::Let || old, "{ended:?}");
        let denied = rpc::call(channel, Some(alice), &rpc::put("z")).await?.ended;
        ensure!(denied != Ended::Let, "a key of nobody was put");
    }
    Ok(())
}

/// Each member by itself: a log-in there, what it says of users and roles, and its hash.
async fn agree(channels: &[Channel]) -> Result<()> {
    let mut said = Vec::new();
    for channel in channels {
        let root = rpc::log_in(channel, "root", stage::ROOT_PASSWORD).await?;
        let root = Some(root.as_str());
        let status = must(channel, root, &stage::status()).await?;
        let status = pb::AuthStatusResponse::decode(status)?;
        let roles = must(channel, root, &stage::role_list()).await?;
        let roles = pb::AuthRoleListResponse::decode(roles)?.roles;
        let of = must(channel, root, &stage::role_get("tenant")).await?;
        let of = pb::AuthRoleGetResponse::decode(of)?.perm;
        let hash = Call::new(
            "/etcdserverpb.Maintenance/HashKV",
            &pb::HashKvRequest::default(),
        );
        let hash = must(channel, root, &hash).await?;
        let hash = pb::HashKvResponse::decode(hash)?.hash;
        said.push((status.auth_revision, roles, of, hash));
    }
    let first = said.first().context("no member")?;
    ensure!(
        said.iter().all(|other| other == first),
        "members differ: {said:?}"
    );
    Ok(())
}
