use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures::StreamExt;
use mainstay_proto::etcdserverpb as pb;
use mainstay_proto::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest,
    election_client::ElectionClient,
};
use mainstay_proto::v3lockpb::{LockRequest, UnlockRequest, lock_client::LockClient};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::Channel;

use crate::cluster::{Cluster, Plan};
use crate::door::Stream;
use crate::options::Options;
use crate::target::{Connection, Target};

/// How long something that must happen by itself may take.
const WAIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(25);
/// How long to look at something that must not happen.
const SILENCE: Duration = Duration::from_millis(300);

/// One server and what is called on it.
pub struct Side {
    cluster: Cluster,
    target: Target,
}

/// What a step came to on one side, as a text to compare.
type Step = Result<String>;

impl Side {
    pub async fn start(plan: &Plan) -> Result<Side> {
        let cluster = Cluster::start(plan).await?;
        let target = Target::open(&cluster).await?;
        Ok(Side { cluster, target })
    }

    fn at(&self, member: usize) -> &Connection {
        self.target.at(member)
    }

    fn lock(&self, member: usize) -> LockClient<Channel> {
        LockClient::new(self.at(member).channel.clone())
    }

    fn election(&self, member: usize) -> ElectionClient<Channel> {
        ElectionClient::new(self.at(member).channel.clone())
    }

    async fn grant(&self, id: i64, ttl: i64) -> Result<()> {
        let grant = pb::LeaseGrantRequest { id, ttl };
        self.at(0).lease.clone().lease_grant(grant).await?;
        Ok(())
    }

    /// How many keys there are under a prefix that ends with a slash.
    async fn count(&self, prefix: &str) -> Result<i64> {
        let range = pb::RangeRequest {
            key: Bytes::copy_from_slice(prefix.as_bytes()),
            range_end: prefix.replace('/', "0").into(),
            count_only: true,
            ..Default::default()
        };
        let answer = self.at(0).kv.clone().range(range).await?;
        Ok(answer.into_inner().count)
    }

    async fn until_count(&self, prefix: &str, wanted: i64) -> Result<()> {
        let deadline = Instant::now() + WAIT;
        loop {
            let count = self.count(prefix).await?;
            if count == wanted {
                return Ok(());
            }
            if Instant::now() > deadline {
                let label = self.cluster.label;
                bail!("{label}: {count} keys under {prefix}, not {wanted}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Takes a lock in the background.
    fn locking(&self, member: usize, name: &str, lease: i64) -> JoinHandle<Step> {
        let (mut client, name) = (self.lock(member), name.to_owned());
        tokio::spawn(async move { Ok(locked(&mut client, &name, lease).await) })
    }
}

/// Key and revision of a lock, or why it was not taken.
async fn locked(client: &mut LockClient<Channel>, name: &str, lease: i64) -> String {
    let name = Bytes::copy_from_slice(name.as_bytes());
    match client.lock(LockRequest { name, lease }).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            let key = String::from_utf8_lossy(&answer.key).into_owned();
            format!("{key} at {:?}", answer.header.map(|header| header.revision))
        }
        Err(status) => told(&status),
    }
}

async fn unlocked(client: &mut LockClient<Channel>, key: &str) -> String {
    let key = Bytes::copy_from_slice(key.as_bytes());
    match client.unlock(UnlockRequest { key }).await {
        Ok(answer) => {
            let header = answer.into_inner().header;
            format!("unlocked at {:?}", header.map(|header| header.revision))
        }
        Err(status) => told(&status),
    }
}

fn told(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// Runs the same steps on a cluster of each product and compares what they come to.
async fn both<F>(options: &Options, members: usize, steps: F) -> Result<Instant>
where
    F: AsyncFn(&Side) -> Result<Vec<String>>,
{
    let since = Instant::now();
    let mut found = Vec::new();
    for (binary, label) in [
        (options.etcd(), "etcd"),
        (options.subject.clone(), "subject"),
    ] {
        let side = Side::start(&Plan::new(&binary, label, members).tls(options.tls)).await?;
        found.push(steps(&side).await.context(label)?);
    }
    for (at, (reference, subject)) in found[0].iter().zip(&found[1]).enumerate() {
        if reference != subject {
            bail!("step {at}\n  reference: {reference}\n  subject:   {subject}");
        }
    }
    if found[0].len() != found[1].len() {
        bail!(
            "{} steps on etcd, {} on the subject",
            found[0].len(),
            found[1].len()
        );
    }
    Ok(since)
}

pub async fn lock(options: &Options) -> Result<Instant> {
    both(options, 1, async |side| {
        let mut client = side.lock(0);
        let mut steps = Vec::new();
        side.grant(0x100, 500).await?;
        side.grant(0x101, 500).await?;
        steps.push(locked(&mut client, "l", 0x100).await);
        // Who has it gets it again, at once.
        steps.push(locked(&mut client, "l", 0x100).await);
        let waiting = side.locking(0, "l", 0x101);
        side.until_count("l/", 2).await?;
        tokio::time::sleep(SILENCE).await;
        if waiting.is_finished() {
            bail!("the lock was given to two");
        }
        steps.push(unlocked(&mut client, "l/100").await);
        steps.push(waiting.await??);
        steps.push(unlocked(&mut client, "l/100").await);
        steps.push(unlocked(&mut client, "l/101").await);
        steps.push(unlocked(&mut client, "").await);
        steps.push(locked(&mut client, "l", 0x999).await);
        steps.push(locked(&mut client, "l", -5).await);
        steps.push(locked(&mut client, "", 0x100).await);
        // Another lock, whose name begins alike.
        steps.push(locked(&mut client, "l/", 0x100).await);
        steps.push(fresh(side, &mut client).await?);
        Ok(steps)
    })
    .await
}

/// Without a lease there is one of 60 seconds, which the key carries.
async fn fresh(side: &Side, client: &mut LockClient<Channel>) -> Step {
    let taken = locked(client, "fresh", 0).await;
    let id = taken
        .strip_prefix("fresh/")
        .and_then(|rest| rest.split(' ').next());
    let id = i64::from_str_radix(id.context("the key holds the lease")?, 16)?;
    let ask = pb::LeaseTimeToLiveRequest { id, keys: true };
    let lease = side
        .at(0)
        .lease
        .clone()
        .lease_time_to_live(ask)
        .await?
        .into_inner();
    let keys: Vec<_> = lease.keys.iter().map(|key| key.len() > 6).collect();
    Ok(format!("granted {} s, keys {keys:?}", lease.granted_ttl))
}

pub async fn election(options: &Options) -> Result<Instant> {
    both(options, 1, async |side| {
        let mut client = side.election(0);
        let mut steps = Vec::new();
        side.grant(0x200, 500).await?;
        side.grant(0x201, 500).await?;
        let ask = || LeaderRequest { name: "e".into() };
        steps.push(text(client.leader(ask()).await));
        let mut observer = side.election(0);
        let observed = tokio::spawn(async move { observe(&mut observer).await });
        let first = campaign(&mut client, 0x200, "one").await;
        steps.push(format!("{first:?}"));
        let first = first.map_err(|text| anyhow::anyhow!(text))?;
        steps.push(text(client.leader(ask()).await));
        // A new value of the same campaign, which still leads.
        steps.push(format!("{:?}", campaign(&mut client, 0x200, "two").await));
        let mut second = side.election(0);
        let second = tokio::spawn(async move { campaign(&mut second, 0x201, "three").await });
        side.until_count("e/", 2).await?;
        let proclaim = |leader: Option<LeaderKey>, value: &'static str| ProclaimRequest {
            leader,
            value: value.into(),
        };
        steps.push(text(
            client.proclaim(proclaim(Some(first.clone()), "four")).await,
        ));
        steps.push(text(client.proclaim(proclaim(None, "x")).await));
        let stale = LeaderKey {
            rev: first.rev - 1,
            ..first.clone()
        };
        steps.push(text(
            client.proclaim(proclaim(Some(stale.clone()), "x")).await,
        ));
        let resign = |leader| ResignRequest { leader };
        steps.push(text(client.resign(resign(Some(stale))).await));
        steps.push(text(client.resign(resign(None)).await));
        steps.push(text(
            client.resign(resign(Some(LeaderKey::default()))).await,
        ));
        steps.push(text(client.resign(resign(Some(first.clone()))).await));
        steps.push(format!("{:?}", second.await?));
        steps.push(text(client.proclaim(proclaim(Some(first), "x")).await));
        steps.push(text(client.leader(ask()).await));
        let values = tokio::time::timeout(WAIT, observed).await;
        let values = values.context("the new leader is not seen")???;
        steps.push(format!("{values:?}"));
        Ok(steps)
    })
    .await
}

/// What leaders proclaim, up to the last value of the test. etcd's stream has not even a head
/// before there is a leader.
async fn observe(client: &mut ElectionClient<Channel>) -> Result<Vec<String>> {
    let ask = LeaderRequest { name: "e".into() };
    let mut stream = client.observe(ask).await?.into_inner();
    let mut values = Vec::new();
    while values.last().map(String::as_str) != Some("three") {
        let next = stream.next().await.context("the stream has ended")??;
        let kv = next.kv.unwrap_or_default();
        values.push(String::from_utf8_lossy(&kv.value).into_owned());
    }
    Ok(values)
}

/// What the winner is told, or why there is none.
async fn campaign(
    client: &mut ElectionClient<Channel>,
    lease: i64,
    value: &'static str,
) -> Result<LeaderKey, String> {
    let request = CampaignRequest {
        name: "e".into(),
        lease,
        value: value.into(),
    };
    match client.campaign(request).await {
        Ok(answer) => answer.into_inner().leader.ok_or("no leader".to_owned()),
        Err(status) => Err(told(&status)),
    }
}

/// An answer without the ids of its cluster.
fn text<T: std::fmt::Debug>(answer: Result<tonic::Response<T>, Status>) -> String {
    match answer {
        Ok(answer) => {
            let text = format!("{:?}", answer.into_inner());
            let ids = ["cluster_id: ", "member_id: ", "raft_term: "];
            ids.iter().fold(text, |text, name| {
                let mut parts = text.split(name);
                let mut masked = parts.next().unwrap_or_default().to_owned();
                for part in parts {
                    masked.push_str(name);
                    masked.push_str(part.trim_start_matches(|digit: char| digit.is_ascii_digit()));
                }
                masked
            })
        }
        Err(status) => told(&status),
    }
}

/// Many take the same lock, on all members of a cluster. What it guards is counted up in two
/// steps, so two owners at once would lose one of them.
pub async fn contention(options: &Options) -> Result<Instant> {
    const TAKERS: i64 = 12;
    const TURNS: i64 = 3;
    both(options, 3, async |side| {
        let mut takers = Vec::new();
        for taker in 0..TAKERS {
            side.grant(0x300 + taker, 500).await?;
        }
        for taker in 0..TAKERS {
            let member = taker as usize % 3;
            let (mut lock, mut kv) = (side.lock(member), side.at(member).kv.clone());
            takers.push(tokio::spawn(async move {
                for _ in 0..TURNS {
                    let taken = locked(&mut lock, "many", 0x300 + taker).await;
                    let key = format!("many/{:x}", 0x300 + taker);
                    if !taken.starts_with(&key) {
                        bail!("{taken}");
                    }
                    count_up(&mut kv).await?;
                    unlocked(&mut lock, &key).await;
                }
                Ok(())
            }));
        }
        for taker in takers {
            tokio::time::timeout(4 * WAIT, taker)
                .await
                .context("a taker waits for ever")???;
        }
        let mut kv = side.at(1).kv.clone();
        let counted = counter(&mut kv).await?;
        if counted != TAKERS * TURNS {
            bail!("{counted} turns were counted, {} were had", TAKERS * TURNS);
        }
        Ok(vec![
            format!("{counted}"),
            format!("{} left", side.count("many/").await?),
        ])
    })
    .await
}

type Kv = pb::kv_client::KvClient<Channel>;

async fn counter(kv: &mut Kv) -> Result<i64> {
    let range = pb::RangeRequest {
        key: "counter".into(),
        ..Default::default()
    };
    let kvs = kv.range(range).await?.into_inner().kvs;
    let Some(found) = kvs.first() else {
        return Ok(0);
    };
    Ok(std::str::from_utf8(&found.value)?.parse()?)
}

async fn count_up(kv: &mut Kv) -> Result<()> {
    let next = counter(kv).await? + 1;
    let put = pb::PutRequest {
        key: "counter".into(),
        value: next.to_string().into(),
        ..Default::default()
    };
    kv.put(put).await?;
    Ok(())
}

/// Callers that go away while they wait leave neither keys nor watches, by gRPC or by HTTP.
pub async fn cancellation(options: &Options) -> Result<Instant> {
    both(options, 1, async |side| {
        let mut client = side.lock(0);
        side.grant(0x400, 500).await?;
        side.grant(0x401, 500).await?;
        let mut steps = vec![locked(&mut client, "c", 0x400).await];
        let watches = watch_streams(side).await?;
        let waiting = [side.locking(0, "c", 0), side.locking(0, "c", 0x401)];
        let web = post(side, "/v3/lock/lock", r#"{"name":"Yw=="}"#).await?;
        side.until_count("c/", 4).await?;
        for call in &waiting {
            call.abort();
        }
        side.until_count("c/", 2).await?;
        drop(web);
        side.until_count("c/", 1).await?;
        let mut election = side.election(0);
        campaign(&mut election, 0x400, "lead")
            .await
            .map_err(anyhow::Error::msg)?;
        let mut other = side.election(0);
        let second = tokio::spawn(async move { campaign(&mut other, 0x401, "wait").await });
        side.until_count("e/", 2).await?;
        second.abort();
        side.until_count("e/", 1).await?;
        // etcd counts watches of its own differently.
        if side.cluster.label == "subject" {
            until_watch_streams(side, watches).await?;
            let leases = side.at(0).lease.clone();
            let left = leases
                .clone()
                .lease_leases(pb::LeaseLeasesRequest {})
                .await?;
            let left = left.into_inner().leases.len();
            if left != 2 {
                bail!("{left} leases are left, two were granted by the test");
            }
        }
        steps.push(unlocked(&mut client, "c/400").await);
        side.grant(0x402, 500).await?;
        let again = tokio::time::timeout(WAIT, locked(&mut client, "c", 0x402)).await;
        let again = again.context("the lock is free and cannot be taken")?;
        steps.push(again.split(' ').next().unwrap_or_default().to_owned());
        steps.remove(1);
        Ok(steps)
    })
    .await
}

/// Sends a request whose answer nobody waits for; dropping the socket ends it.
async fn post(side: &Side, path: &str, body: &str) -> Result<Box<dyn Stream>> {
    let door = side.cluster.door(0);
    let mut socket = door.open().await?;
    let (host, length) = (door.host(), body.len());
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}");
    socket.write_all(request.as_bytes()).await?;
    socket.flush().await?;
    Ok(socket)
}

async fn watch_streams(side: &Side) -> Result<u64> {
    let door = side.cluster.door(0);
    let page = crate::plain_http::call(door, "GET", "/metrics").await?.body;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("etcd_debugging_mvcc_watch_stream_total "));
    Ok(line.context("no number of watch streams")?.trim().parse()?)
}

async fn until_watch_streams(side: &Side, wanted: u64) -> Result<()> {
    let deadline = Instant::now() + WAIT;
    while watch_streams(side).await? != wanted {
        if Instant::now() > deadline {
            bail!("watches of callers that have gone live on");
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// A waiter whose lease ends is told so when its turn comes; an owner whose lease ends makes room.
pub async fn expiry(options: &Options) -> Result<Instant> {
    both(options, 1, async |side| {
        let mut client = side.lock(0);
        for (id, ttl) in [(0x500, 500), (0x501, 500), (0x502, 2), (0x503, 500)] {
            side.grant(id, ttl).await?;
        }
        let mut steps = vec![locked(&mut client, "x", 0x500).await];
        let waiting = side.locking(0, "x", 0x501);
        side.until_count("x/", 2).await?;
        let revoke = pb::LeaseRevokeRequest { id: 0x501 };
        side.at(0).lease.clone().lease_revoke(revoke).await?;
        side.until_count("x/", 1).await?;
        steps.push(unlocked(&mut client, "x/500").await);
        let told = tokio::time::timeout(WAIT, waiting).await;
        steps.push(told.context("nobody is told")???);
        steps.push(locked(&mut client, "y", 0x502).await);
        let next = tokio::time::timeout(WAIT, side.locking(0, "y", 0x503)).await;
        steps.push(next.context("the lease of the owner does not end")???);
        Ok(steps)
    })
    .await
}
