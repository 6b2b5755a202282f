//! A cluster of real members on loopback.

use std::{net::TcpListener, path::Path, time::Duration};

use anyhow::{Context, bail};
use mainstay_proto::etcdserverpb as pb;
use rand::{Rng, rngs::StdRng};
use tokio::time::Instant;

use crate::{
    connection::Connection,
    convert,
    disk::{Disk, IMAGE_MIB},
    member::Member,
    options::Options,
};

/// Ports of all scenarios.
const PORTS: std::ops::Range<u16> = 25000..26000;

/// Short elections, so that a run holds many of them.
const HEARTBEAT_MILLIS: u32 = 50;
const ELECTION_MILLIS: u32 = 500;

/// How long a healed cluster may take until every member reads and writes.
pub const HEAL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one probe of a member waits.
const PROBE_TIMEOUT: Duration = Duration::from_millis(800);

const PROBE_PAUSE: Duration = Duration::from_millis(50);

/// The members of one cluster. Dropping it kills them and unmounts their disks.
#[derive(Debug)]
pub struct Cluster {
    pub members: Vec<Member>,
    probes: Vec<Connection>,
}

/// What differs between the clusters of the scenarios.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    pub members: u32,
    /// Members with a file system of their own, all if `None`.
    pub mounted: Option<Vec<u32>>,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

impl Cluster {
    /// Starts a new cluster with its data under `directory` and waits until it serves.
    ///
    /// # Errors
    /// If a member does not start or the cluster does not become healthy.
    pub async fn start(
        options: &Options,
        setup: &Setup,
        directory: &Path,
        random: &mut StdRng,
    ) -> anyhow::Result<Cluster> {
        let mut cluster = Cluster::prepare(options, setup, directory, random)?;
        for member in &mut cluster.members {
            member.start()?;
        }
        cluster
            .wait_healthy(HEAL_TIMEOUT)
            .await
            .context("the cluster does not start")?;
        Ok(cluster)
    }

    /// The same without starting a member.
    ///
    /// # Errors
    /// If there are no ports or disks to be had.
    pub fn prepare(
        options: &Options,
        setup: &Setup,
        directory: &Path,
        random: &mut StdRng,
    ) -> anyhow::Result<Cluster> {
        let ports = free_ports(2 * setup.members, random)?;
        let mut members = Vec::new();
        for (index, ports) in (0..setup.members).zip(ports.chunks(2)) {
            let home = directory.join(format!("m{index}"));
            let own = setup
                .mounted
                .as_ref()
                .is_none_or(|mounted| mounted.contains(&index));
            let disk = if own && options.mounts {
                Disk::mounted(home, IMAGE_MIB)?
            } else {
                Disk::plain(home)?
            };
            let log = directory.join(format!("m{index}.log"));
            let ports = (ports[0], ports[1]);
            members.push(Member::new(index, ports, disk, log, options.bin.clone()));
        }
        configure(&mut members, setup, options.seed);
        let probes = members
            .iter()
            .map(|member| Connection::new(member.index, member.client_port))
            .collect::<anyhow::Result<_>>()?;
        Ok(Cluster { members, probes })
    }

    /// A connection of its own to each member.
    ///
    /// # Errors
    /// As [`Connection::new`].
    pub fn connect(&self) -> anyhow::Result<Vec<Connection>> {
        let ports = self
            .members
            .iter()
            .map(|member| (member.index, member.client_port));
        ports
            .map(|(index, port)| Connection::new(index, port))
            .collect()
    }

    /// The member that says it leads, if one does. With two that say so the later term counts.
    pub async fn leader(&self) -> Option<usize> {
        let mut best = None;
        for (index, probe) in self.probes.iter().enumerate() {
            let mut maintenance = probe.maintenance();
            let status = maintenance.status(pb::StatusRequest {});
            let Ok(Ok(status)) = tokio::time::timeout(PROBE_TIMEOUT, status).await else {
                continue;
            };
            let status = status.into_inner();
            let id = status.header.map_or(0, |header| header.member_id);
            if status.leader == id && id != 0 {
                best = best.max(Some((status.raft_term, index)));
            }
        }
        best.map(|(_, index)| index)
    }

    /// The leader, or any member while there is none.
    pub async fn leader_or_any(&self, random: &mut StdRng) -> usize {
        let any = random.random_range(0..self.members.len());
        self.leader().await.unwrap_or(any)
    }

    /// Continues what is stopped and starts what is dead.
    ///
    /// # Errors
    /// If a program cannot be started.
    pub fn heal(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.resume()?;
            member.start()?;
        }
        Ok(())
    }

    /// Waits until every member answers a linearizable read.
    ///
    /// # Errors
    /// If one does not within `timeout`, or has ended by itself.
    pub async fn wait_healthy(&mut self, timeout: Duration) -> anyhow::Result<()> {
        let all: Vec<usize> = (0..self.members.len()).collect();
        self.wait_serving(&all, timeout).await
    }

    /// The same for some members.
    ///
    /// # Errors
    /// As [`Cluster::wait_healthy`].
    pub async fn wait_serving(
        &mut self,
        members: &[usize],
        timeout: Duration,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + timeout;
        for &index in members {
            loop {
                if let Some(status) = self.members[index].exited() {
                    let log = self.members[index].log.display().to_string();
                    bail!("member {index} ended by itself with {status}; see {log}");
                }
                if self.serves(index).await {
                    break;
                }
                if Instant::now() > deadline {
                    bail!("member {index} does not serve {timeout:?} after it was healed");
                }
                tokio::time::sleep(PROBE_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Whether a member answers a linearizable read now.
    pub async fn serves(&self, index: usize) -> bool {
        let mut kv = self.probes[index].kv();
        let read = kv.range(convert::range("health", "", 0, 0, false));
        matches!(tokio::time::timeout(PROBE_TIMEOUT, read).await, Ok(Ok(_)))
    }

    /// The hash over all keys up to a revision, on each member, and its compacted revision.
    ///
    /// # Errors
    /// If a member does not answer.
    pub async fn hashes(&self, revision: i64) -> anyhow::Result<Vec<(u32, i64)>> {
        let mut hashes = Vec::new();
        for probe in &self.probes {
            let request = pb::HashKvRequest { revision };
            let hash = probe.maintenance().hash_kv(request).await?.into_inner();
            hashes.push((hash.hash, hash.compact_revision));
        }
        Ok(hashes)
    }

    /// Leases that a member still knows.
    ///
    /// # Errors
    /// If the member does not answer.
    pub async fn leases(&self, index: usize) -> anyhow::Result<Vec<i64>> {
        let mut lease = self.probes[index].lease();
        let leases = lease
            .lease_leases(pb::LeaseLeasesRequest {})
            .await?
            .into_inner()
            .leases;
        Ok(leases.into_iter().map(|lease| lease.id).collect())
    }

    #[must_use]
    pub fn probe(&self, index: usize) -> &Connection {
        &self.probes[index]
    }
}

/// etcd's own flags, which Mainstay takes too.
fn configure(members: &mut [Member], setup: &Setup, seed: u64) {
    let peers: Vec<String> = members
        .iter()
        .map(|member| format!("{}={}", member.name(), member.peer_url()))
        .collect();
    for member in members {
        let client = format!("http://127.0.0.1:{}", member.client_port);
        let flags = [
            ("--name", member.name()),
            ("--listen-client-urls", client.clone()),
            ("--advertise-client-urls", client),
            ("--listen-peer-urls", member.peer_url()),
            ("--initial-advertise-peer-urls", member.peer_url()),
            ("--initial-cluster", peers.join(",")),
            ("--initial-cluster-state", "new".to_owned()),
            ("--initial-cluster-token", format!("chaos-{seed}")),
            ("--heartbeat-interval", HEARTBEAT_MILLIS.to_string()),
            ("--election-timeout", ELECTION_MILLIS.to_string()),
        ];
        let flags = flags
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value]);
        member.arguments = flags.chain(setup.arguments.iter().cloned()).collect();
        member.environment = setup.environment.clone();
    }
}

/// Ports that nobody listens on now.
fn free_ports(count: u32, random: &mut StdRng) -> anyhow::Result<Vec<u16>> {
    let start = random.random_range(PORTS);
    let ports: Vec<u16> = (start..PORTS.end)
        .chain(PORTS.start..start)
        .filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .take(count as usize)
        .collect();
    if ports.len() < count as usize {
        bail!("no {count} free ports in {PORTS:?}");
    }
    Ok(ports)
}
