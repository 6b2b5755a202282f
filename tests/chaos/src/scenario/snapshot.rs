//! A member that has fallen behind the log gets the store itself, file by file: under writes, while
//! it is killed at every step, and with watches open on it. Nothing acknowledged may be lost.

mod cuts;
mod memory;
mod receiver;
mod watches;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use mainstay_proto::etcdserverpb as pb;
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use crate::{
    bulk::{self, Pool, Steady},
    cluster::{Cluster, HEAL_TIMEOUT, Setup},
    connection::Connection,
    convert,
    member::Member,
    options::Options,
    tally::Tally,
};

/// The log is kept this short, so that a member soon falls behind it.
const LOG_ENTRIES: &str = "1000";

/// Puts between two compactions of the fill.
const COMPACT_EVERY: u64 = 2000;

/// Revisions that a compaction leaves readable.
const COMPACT_DISTANCE: i64 = 500;

/// Between two looks at a member's log or directory.
const LOOK: Duration = Duration::from_millis(2);

/// How fast a snapshot must come in at least.
const SLOWEST_MEGABYTES_PER_SECOND: u64 = 4;

const LEASE_SECONDS: i64 = 3600;

/// # Errors
/// If it cannot be carried out on this machine.
pub async fn run(options: &Options, tally: &mut Tally) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(options.seed);
    let flags = [
        ("--snapshot-count", LOG_ENTRIES),
        ("--snapshot-catchup-entries", LOG_ENTRIES),
        ("--quota-backend-bytes", "17179869184"),
    ];
    let setup = Setup {
        members: 3,
        mounted: Some(Vec::new()),
        arguments: flags
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value.to_owned()])
            .collect(),
        ..Setup::default()
    };
    let directory = options.directory.join("snapshot");
    std::fs::create_dir_all(&directory)?;
    let cluster = Cluster::start(options, &setup, &directory, &mut random).await?;
    let leader = cluster.leader().await.context("no leader")?;
    let receiver = (leader + 1) % 3;
    let connections = cluster.connect()?;
    let mut run = Run {
        others: (0..3).filter(|member| *member != receiver).collect(),
        cluster,
        connections,
        receiver,
        pool: Pool::new(options.seed),
        timeout: HEAL_TIMEOUT
            + Duration::from_secs(options.megabytes / SLOWEST_MEGABYTES_PER_SECOND),
        random,
    };
    let outcome = run.play(options.megabytes, tally).await;
    let panics: Vec<String> = run
        .cluster
        .members
        .iter()
        .flat_map(Member::panics)
        .collect();
    tally.check("no member panicked", &panics);
    outcome.with_context(|| format!("logs are in {}", directory.display()))
}

struct Run {
    cluster: Cluster,
    connections: Vec<Connection>,
    receiver: usize,
    /// The members that hold the quorum.
    others: Vec<usize>,
    pool: Pool,
    timeout: Duration,
    random: StdRng,
}

impl Run {
    async fn play(&mut self, megabytes: u64, tally: &mut Tally) -> anyhow::Result<()> {
        let [first, second] = [self.others[0], self.others[1]];
        let others = [
            self.connections[first].clone(),
            self.connections[second].clone(),
        ];
        let leases = self.before().await?;
        let behind = self.position(self.receiver).await?;
        self.cluster.members[self.receiver].kill()?;
        self.while_away(&leases).await?;

        let started = Instant::now();
        let puts = (megabytes << 20) / bulk::VALUE_BYTES as u64;
        let mut done = 0;
        while done < puts {
            let count = COMPACT_EVERY.min(puts - done);
            bulk::fill(&others, &self.pool, &format!("fill/{done}"), count).await?;
            done += count;
            self.compact(first, COMPACT_DISTANCE).await?;
        }
        println!("{puts} puts of 8 KiB in {:.1?}", started.elapsed());

        let mut steady = Steady::spawn(&others, &self.pool, Duration::from_millis(2));
        let watching = self.memory_of_leader().await?;
        // Before that the receiver would be fed from the log.
        self.wait_cut(behind).await?;
        let killed = self.kill_while_receiving(megabytes).await;
        tally.outcome("the receiver is killed while it receives", killed);
        let written = steady.count();
        let came = self.catch_up().await;
        tally.outcome("it then gets its snapshot", came);
        tally.outcome("writes went on meanwhile", more(written, steady.count()));
        tally.outcome("sending took bounded memory", watching.finish().await);
        steady.stop().await?;
        tally.outcome("all members hold the same", self.same().await);
        tally.outcome("nothing acknowledged is lost", self.kept(&steady).await);
        tally.outcome(
            "leases and alarms are right",
            self.leases_right(&leases).await,
        );
        let watches = self.old_watches().await;
        tally.outcome("watches from old revisions are right", watches);

        let watched = watches::through_an_install(self).await;
        tally.outcome("watches live through an install", watched);
        tally.outcome("all members hold the same after it", self.same().await);

        let steady = Steady::spawn(&others, &self.pool, Duration::ZERO);
        tally.outcome(
            "nothing is lost when all die right after a purge",
            self.kill_after_purge(steady).await,
        );
        tally.outcome("all members hold the same in the end", self.same().await);
        tally.check("no transfer is left behind", &self.left_behind());
        Ok(())
    }

    /// Leases of which one will be gone, one new, and an alarm that will be off.
    async fn before(&self) -> anyhow::Result<[i64; 2]> {
        let connection = &self.connections[self.receiver];
        let mut ids = [0; 2];
        for id in &mut ids {
            let grant = pb::LeaseGrantRequest {
                ttl: LEASE_SECONDS,
                ..Default::default()
            };
            *id = connection.lease().lease_grant(grant).await?.into_inner().id;
            let key = format!("leased/{id}");
            let put = convert::put(&key, "yes", *id, false);
            connection.kv().put(put).await?;
        }
        self.alarm(self.receiver, pb::alarm_request::AlarmAction::Activate)
            .await?;
        Ok(ids)
    }

    async fn while_away(&mut self, leases: &[i64; 2]) -> anyhow::Result<()> {
        let others = self.others.clone();
        self.cluster.wait_serving(&others, HEAL_TIMEOUT).await?;
        self.alarm(others[0], pb::alarm_request::AlarmAction::Deactivate)
            .await?;
        let revoke = pb::LeaseRevokeRequest { id: leases[1] };
        self.connections[others[0]]
            .lease()
            .lease_revoke(revoke)
            .await?;
        Ok(())
    }

    async fn alarm(
        &self,
        member: usize,
        action: pb::alarm_request::AlarmAction,
    ) -> anyhow::Result<Vec<pb::AlarmMember>> {
        let request = pb::AlarmRequest {
            action: action as i32,
            member_id: 1,
            alarm: pb::AlarmType::Nospace as i32,
        };
        let response = self.connections[member]
            .maintenance()
            .alarm(request)
            .await?;
        Ok(response.into_inner().alarms)
    }

    async fn revision(&self, member: usize) -> anyhow::Result<i64> {
        let get = convert::range("health", "", 0, 0, false);
        let response = self.connections[member].kv().range(get).await?.into_inner();
        Ok(response.header.context("no header")?.revision)
    }

    async fn compact(&self, member: usize, distance: i64) -> anyhow::Result<i64> {
        let revision = self.revision(member).await? - distance;
        let compaction = pb::CompactionRequest {
            revision,
            physical: false,
        };
        self.connections[member].kv().compact(compaction).await?;
        Ok(revision)
    }

    /// Equal hashes at the newest revision.
    async fn same(&self) -> anyhow::Result<()> {
        let revision = self.revision(self.others[0]).await?;
        for member in 0..self.connections.len() {
            // A linearizable read waits until the member has come as far.
            self.revision(member).await?;
        }
        let hashes = self.cluster.hashes(revision).await?;
        println!("hashes at {revision}: {hashes:x?}");
        match hashes.windows(2).all(|pair| pair[0] == pair[1]) {
            true => Ok(()),
            false => bail!("hashes at {revision} differ: {hashes:?}"),
        }
    }

    async fn kept(&self, steady: &Steady) -> anyhow::Result<()> {
        for connection in &self.connections {
            steady.nothing_lost(connection).await?;
        }
        Ok(())
    }

    async fn leases_right(&self, leases: &[i64; 2]) -> anyhow::Result<()> {
        let found = self.cluster.leases(self.receiver).await?;
        if found != [leases[0]] {
            bail!("leases are {found:?}, not the one of {leases:?} that was kept");
        }
        let connection = &self.connections[self.receiver];
        let request = pb::LeaseTimeToLiveRequest {
            id: leases[0],
            keys: true,
        };
        let live = connection.lease().lease_time_to_live(request).await?;
        let live = live.into_inner();
        if live.keys != [format!("leased/{}", leases[0])] || live.ttl <= 0 {
            bail!("the lease that was kept is {live:?}");
        }
        let gone = convert::range(&format!("leased/{}", leases[1]), "", 0, 0, true);
        if connection.kv().range(gone).await?.into_inner().count != 0 {
            bail!("the key of a revoked lease is still there");
        }
        let alarms = self
            .alarm(self.receiver, pb::alarm_request::AlarmAction::Get)
            .await?;
        match alarms.is_empty() {
            true => Ok(()),
            false => bail!("alarms are {alarms:?}"),
        }
    }

    /// From below the compaction a watch is cancelled, from above it tells what the others tell.
    async fn old_watches(&self) -> anyhow::Result<()> {
        let compacted = self.compact(self.others[0], COMPACT_DISTANCE).await?;
        let newest = self.revision(self.receiver).await?;
        watches::is_compacted(&self.connections[self.receiver], 2, compacted).await?;
        let mut told = Vec::new();
        for member in [self.receiver, self.others[0]] {
            let connection = &self.connections[member];
            told.push(watches::events(connection, compacted, newest).await?);
        }
        match told[0] == told[1] && !told[0].is_empty() {
            true => Ok(()),
            false => bail!("members tell different events from {compacted} to {newest}"),
        }
    }

    /// A member's last entry.
    async fn position(&self, member: usize) -> anyhow::Result<u64> {
        let mut maintenance = self.connections[member].maintenance();
        let status = maintenance.status(pb::StatusRequest {}).await?;
        Ok(status.into_inner().raft_index)
    }

    fn transfer(&self, member: usize) -> PathBuf {
        self.cluster.members[member]
            .disk
            .data()
            .join("member/transfer")
    }

    fn left_behind(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (index, member) in self.cluster.members.iter().enumerate() {
            let store = member.disk.data().join("member/store");
            let names = |path: &PathBuf, prefix: &str| -> Vec<String> {
                let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
                entries
                    .filter(|entry| entry.path().is_dir())
                    .map(|entry| entry.file_name().to_string_lossy().into_owned())
                    .filter(|name| name.starts_with(prefix))
                    .collect()
            };
            left.extend(names(&self.transfer(index), ""));
            if names(&store, "db-").len() != 1 {
                left.push(format!("member {index}: {:?}", names(&store, "db-")));
            }
        }
        left
    }
}

fn more(before: u64, after: u64) -> anyhow::Result<()> {
    match after > before {
        true => Ok(()),
        false => bail!("there were {before} before and {after} after"),
    }
}
