//! Putting a member together and bringing it to the point where clients may be let in.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mainstay_apply::{Applier, View, Waiters};
use mainstay_lease::Leases;
use mainstay_mvcc::Store;
use mainstay_wal::Wal;
use openraft::async_runtime::WatchReceiver;
use openraft::{Config, ServerState, SnapshotPolicy};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::bootstrap::{Bootstrap, BootstrapError, Forming};
use crate::handler::Handler;
use crate::identity::{Identity, InitialCluster};
use crate::keeper;
use crate::leadership::Leadership;
use crate::lease::{self, LeaseCalls};
use crate::log::Log;
use crate::machine::{CommitObserver, Machine};
use crate::membership::Members;
use crate::network::Factory;
use crate::node::{Inner, Node};
use crate::peer::serve::{Service, serve};
use crate::peers::Peers;
use crate::propose::{self, Proposer};
use crate::read_index::ReadIndex;
use crate::snapshot::pins::Pins;
use crate::types::Raft;

/// Entries in one append; bytes are bounded where the log is read.
const APPEND_ENTRIES_MAX: u64 = 4096;
/// A snapshot of any size may take its time; a lost connection ends it sooner.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(3600);
/// Peer connections served at a time: three a member, and room for strangers to be turned away.
const PEER_CONNECTIONS_MAX: usize = 256;

pub struct Settings {
    pub identity: Identity,
    /// Of use only while the log is empty.
    pub initial: InitialCluster,
    pub heartbeat: Duration,
    pub election_timeout: Duration,
    pub pre_vote: bool,
    pub request_bytes_max: usize,
    pub keeper: keeper::Limits,
    /// How the store is opened again after a snapshot from the leader.
    pub store: mainstay_mvcc::Options,
    /// Where snapshots lie on their way; on the store's file system.
    pub scratch_dir: PathBuf,
    /// Planted: answer linearizable reads from what is applied here, asking nobody.
    #[cfg(feature = "planted-faults")]
    pub skip_read_index: bool,
}

/// What the member is made of; the server opens these.
pub struct Parts {
    pub wal: Wal,
    pub store: Store,
    pub applier: Applier,
    pub view: View,
    pub waiters: Waiters,
    pub leases: Leases,
    pub peer_listeners: Vec<TcpListener>,
    /// Told how long each batch of entries took to apply and commit.
    pub committed: CommitObserver,
    /// Where the current term is kept for who stamps responses.
    pub term: Arc<AtomicU64>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("raft log: {0}")]
    Log(std::io::Error),
    #[error("raft settings: {0}")]
    Settings(String),
    #[error("raft did not start: {0}")]
    Raft(String),
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
}

/// Starts the member and returns once it takes part in its cluster. It may not have a leader yet.
pub async fn start(settings: Settings, parts: Parts) -> Result<Node, StartError> {
    let state = parts.wal.state();
    let formed = state.last.is_some() || state.vote.is_some() || parts.view.applied_index() > 0;
    let Identity { member, cluster } = settings.identity;
    let peers = Arc::new(Peers::new(cluster, member));
    let log = Log::new(parts.wal.clone()).map_err(StartError::Log)?;
    let machine = Machine::new(
        parts.applier,
        parts.store,
        settings.store.clone(),
        settings.scratch_dir.clone(),
        parts.committed,
    );
    let pins = Arc::new(Pins::default());
    let factory = Factory {
        peers: peers.clone(),
        pins: pins.clone(),
    };
    let config = Arc::new(raft_config(&settings)?);
    let raft = Raft::new(member, config, factory, log, machine)
        .await
        .map_err(|error| StartError::Raft(error.to_string()))?;
    let leadership = Arc::new(Leadership::new(member, &raft, settings.election_timeout));
    let members = Arc::new(Members::new(member, &raft));
    let read_index = Arc::new(ReadIndex::new(
        raft.clone(),
        leadership.clone(),
        members.clone(),
        peers.clone(),
    ));
    let proposer = Arc::new(Proposer::new(propose::Parts {
        own: member,
        request_bytes_max: settings.request_bytes_max,
        raft: raft.clone(),
        leadership: leadership.clone(),
        members: members.clone(),
        peers: peers.clone(),
        waiters: parts.waiters,
        view: parts.view.clone(),
    }));
    let forming = Arc::new(Forming::new(settings.identity, parts.view.clone(), formed));
    let handler = Arc::new(Handler {
        raft: raft.clone(),
        leadership: leadership.clone(),
        read_index: read_index.clone(),
        proposer: proposer.clone(),
        leases: parts.leases.clone(),
        formation: forming.clone(),
        admitted: AtomicBool::new(formed),
    });
    let stop = CancellationToken::new();
    let service = Arc::new(Service {
        cluster,
        own: member,
        handler: handler.clone(),
        scratch: settings.scratch_dir.clone(),
        stop: stop.clone(),
    });
    let mut tasks = Vec::new();
    for listener in parts.peer_listeners {
        tasks.push(tokio::spawn(accept(listener, service.clone())).abort_handle());
    }
    tasks.push(tokio::spawn(read_index.clone().run()).abort_handle());
    tasks.push(tokio::spawn(proposer.clone().run()).abort_handle());
    let follow = follow(leadership.clone(), parts.leases.clone(), parts.term.clone());
    tasks.push(tokio::spawn(follow).abort_handle());
    let expire = lease::expire(leadership.clone(), parts.leases.clone(), proposer.clone());
    tasks.push(tokio::spawn(expire).abort_handle());
    let keep = keeper::keep(raft.clone(), parts.view.clone(), pins, settings.keeper);
    tasks.push(tokio::spawn(keep).abort_handle());
    if formed && members.is_only_voter() {
        // Nobody else can win, so there is no reason to wait for an election timeout.
        let elect = raft.trigger().elect(false).await;
        elect.map_err(|error| StartError::Raft(error.to_string()))?;
    }
    if !formed {
        let bootstrap = Bootstrap {
            identity: settings.identity,
            initial: settings.initial,
            peers: peers.clone(),
            raft: raft.clone(),
            handler,
            forming,
        };
        bootstrap.run().await?;
    }
    Ok(Node(Arc::new(Inner {
        own: member,
        cluster,
        term: parts.term,
        raft,
        leadership: leadership.clone(),
        members: members.clone(),
        peers: peers.clone(),
        proposer,
        read_index,
        lease_calls: LeaseCalls {
            leadership,
            members,
            peers,
            leases: parts.leases,
        },
        view: parts.view,
        election_timeout: settings.election_timeout,
        #[cfg(feature = "planted-faults")]
        skip_read_index: settings.skip_read_index,
        tasks: parking_lot::Mutex::new(tasks),
        stop,
    })))
}

fn raft_config(settings: &Settings) -> Result<Config, StartError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let election = millis(settings.election_timeout);
    let config = Config {
        cluster_name: format!("{:x}", settings.identity.cluster),
        heartbeat_interval: millis(settings.heartbeat),
        election_timeout_min: election,
        election_timeout_max: election.saturating_add(election / 2),
        max_payload_entries: APPEND_ENTRIES_MAX,
        // A member that lags is fed from the log as long as the log has what it lacks.
        replication_lag_threshold: u64::MAX / 2,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: settings.keeper.catchup_entries,
        install_snapshot_timeout: millis(SNAPSHOT_TIMEOUT),
        enable_pre_vote: Some(settings.pre_vote),
        // A leader sends entries before its own sync ends. After a power cut it may lack some that
        // its followers have; leading on in the same term it would write others in their place.
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    config
        .validate()
        .map_err(|error| StartError::Settings(error.to_string()))
}

async fn accept(listener: TcpListener, service: Arc<Service>) {
    let places = Arc::new(tokio::sync::Semaphore::new(PEER_CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, from)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%from, %error, "peer connection lost at once");
                    continue;
                }
                let (reader, writer) = stream.into_split();
                let service = service.clone();
                tokio::spawn(async move {
                    serve(service, reader, writer, from.to_string()).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a peer connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Keeps the term where others read it, tells the lease clock when this member leads, and counts
/// changes of leader.
async fn follow(leadership: Arc<Leadership>, leases: Leases, term: Arc<AtomicU64>) {
    let mut server = leadership.watch();
    let mut leading_in = None;
    let mut last_leader = None;
    loop {
        let (state, vote, leader) = {
            let now = server.borrow_watched();
            (now.state, now.vote, now.current_leader)
        };
        let now = vote.leader_id.term;
        term.store(now, Ordering::Relaxed);
        let leads = state == ServerState::Leader && vote.committed;
        if leads && leading_in != Some(now) {
            leases.clock().promote();
            leading_in = Some(now);
        } else if !leads && leading_in.take().is_some() {
            leases.clock().demote();
        }
        if leader.is_some() && leader != last_leader {
            leadership.count_change();
            tracing::info!(
                leader = leader.map(|id| format!("{id:x}")),
                term = now,
                "leader elected"
            );
            last_leader = leader;
        }
        if server.changed().await.is_err() {
            return;
        }
    }
}
