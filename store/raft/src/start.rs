//! Putting a member together and bringing it to the point where clients may be let in.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use mainstay_apply::{Applier, View, Waiters};
use mainstay_lease::Leases;
use mainstay_mvcc::Store;
use mainstay_wal::Wal;
use openraft::{Config, SnapshotPolicy};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::bootstrap::{Bootstrap, BootstrapError, Forming};
use crate::corruption::{Corruption, Hasher};
use crate::force_new;
use crate::handler::Handler;
use crate::identity::{Identity, InitialCluster};
use crate::keeper;
use crate::leadership::{Leadership, follow};
use crate::lease::{self, LeaseCalls};
use crate::log::Log;
use crate::machine::{CommitObserver, Machine};
use crate::membership::Members;
use crate::membership::admission;
use crate::membership::change::{Changer, Policy};
use crate::membership::connectivity::{self, Connectivity};
use crate::membership::removal::Removal;
use crate::network::Factory;
use crate::node::{Inner, Node};
use crate::peer::dial::Dialler;
use crate::peer::listen::{PeerListener, accept};
use crate::peer::serve::Service;
use crate::peers::Peers;
use crate::propose::{self, Proposer};
use crate::read_index::ReadIndex;
use crate::snapshot::pins::Pins;
use crate::transfer::Transfer;
use crate::types::Raft;

/// Entries in one append; bytes are bounded where the log is read.
const APPEND_ENTRIES_MAX: u64 = 4096;
/// A snapshot of any size may take its time; a lost connection ends it sooner.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(3600);

pub struct Settings {
    pub identity: Identity,
    /// Of use only while the log is empty.
    pub initial: InitialCluster,
    /// The member was added to a running cluster: it waits for its leader and never forms one.
    pub joined: bool,
    /// The member becomes a cluster of its own, with the data it has.
    pub force_new_cluster: bool,
    pub members: Policy,
    pub heartbeat: Duration,
    pub election_timeout: Duration,
    pub pre_vote: bool,
    pub request_bytes_max: usize,
    /// As in [`mainstay_apply::ApplyOptions`].
    pub quota_bytes: i64,
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
    pub peer_listeners: Vec<PeerListener>,
    /// How the other members are reached.
    pub dialler: Dialler,
    /// Told if this member turns out to have been removed.
    pub removal: Removal,
    /// Told how long each batch of entries took to apply and commit.
    pub committed: CommitObserver,
    /// Where the current term is kept for who stamps responses.
    pub term: Arc<AtomicU64>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("raft log: {0}")]
    Log(std::io::Error),
    #[error("--force-new-cluster: {0}")]
    ForceNew(std::io::Error),
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
    let formed = settings.joined
        || state.last.is_some()
        || state.vote.is_some()
        || parts.view.applied_index() > 0;
    let wal = parts.wal;
    // Without data there is nothing to save, and a new member begins as any other (etcd).
    if settings.force_new_cluster && (state.last.is_some() || parts.view.applied_index() > 0) {
        let own = settings.identity.member;
        let alone = force_new::stand_alone(&wal, parts.applier.applied(), own).await;
        alone.map_err(StartError::ForceNew)?;
    }
    let log = Log::new(wal.clone()).map_err(StartError::Log)?;
    let machine = Machine::new(
        parts.applier,
        parts.store,
        settings.store.clone(),
        settings.scratch_dir.clone(),
        parts.committed,
    );
    let core = Core::open(
        &settings,
        log,
        machine,
        parts.waiters,
        parts.dialler,
        parts.removal.clone(),
        &parts.view,
    )
    .await?;
    let forming = Arc::new(Forming::new(settings.identity, parts.view.clone(), formed));
    let hasher = Arc::new(Hasher::new(parts.view.clone()));
    let handler = Arc::new(Handler {
        raft: core.raft.clone(),
        leadership: core.leadership.clone(),
        read_index: core.read_index.clone(),
        proposer: core.proposer.clone(),
        leases: parts.leases.clone(),
        view: parts.view.clone(),
        formation: forming.clone(),
        hasher: hasher.clone(),
        changer: core.changer.clone(),
        admitted: AtomicBool::new(formed),
    });
    let stop = CancellationToken::new();
    let service = Arc::new(Service {
        cluster: settings.identity.cluster,
        own: settings.identity.member,
        handler: handler.clone(),
        scratch: settings.scratch_dir.clone(),
        stop: stop.clone(),
    });
    let mut tasks = core.spawn(
        settings.keeper,
        wal,
        &parts.view,
        &parts.leases,
        &parts.term,
    );
    let own = settings.identity.member;
    let removed = parts.removal.clone().follow(parts.view.clone(), own);
    tasks.push(tokio::spawn(removed).abort_handle());
    let admit = admission::admit(core.changer.clone(), settings.election_timeout);
    tasks.push(tokio::spawn(admit).abort_handle());
    for listener in parts.peer_listeners {
        tasks.push(tokio::spawn(accept(listener, service.clone())).abort_handle());
    }
    if !formed {
        let bootstrap = Bootstrap {
            identity: settings.identity,
            initial: settings.initial,
            peers: core.peers.clone(),
            raft: core.raft.clone(),
            handler,
            forming,
        };
        bootstrap.run().await?;
    } else if core.members.is_only_voter() {
        // Nobody else can win, so there is no reason to wait for an election timeout.
        let elect = core.raft.trigger().elect(false).await;
        elect.map_err(|error| StartError::Raft(error.to_string()))?;
    }
    let tasks = parking_lot::Mutex::new(tasks);
    Ok(Node(Arc::new(Inner {
        own: settings.identity.member,
        cluster: settings.identity.cluster,
        term: parts.term,
        lease_calls: LeaseCalls {
            leadership: core.leadership.clone(),
            members: core.members.clone(),
            peers: core.peers.clone(),
            leases: parts.leases,
            view: parts.view.clone(),
        },
        corruption: Corruption {
            members: core.members.clone(),
            peers: core.peers.clone(),
            hasher,
            view: parts.view.clone(),
        },
        raft: core.raft,
        leadership: core.leadership,
        peers: core.peers,
        proposer: core.proposer,
        read_index: core.read_index,
        changer: core.changer,
        transfer: core.transfer,
        removal: parts.removal,
        view: parts.view,
        election_timeout: settings.election_timeout,
        #[cfg(feature = "planted-faults")]
        skip_read_index: settings.skip_read_index,
        tasks,
        stop,
    })))
}

/// Raft, and what proposes to it, reads through it and reaches the other members.
struct Core {
    raft: Raft,
    pins: Arc<Pins>,
    peers: Arc<Peers>,
    leadership: Arc<Leadership>,
    members: Arc<Members>,
    read_index: Arc<ReadIndex>,
    proposer: Arc<Proposer>,
    changer: Arc<Changer>,
    transfer: Arc<Transfer>,
}

impl Core {
    async fn open(
        settings: &Settings,
        log: Log,
        machine: Machine,
        waiters: Waiters,
        dialler: Dialler,
        removal: Removal,
        view: &View,
    ) -> Result<Core, StartError> {
        let Identity { member, cluster } = settings.identity;
        let peers = Arc::new(Peers::new(dialler, cluster, member, removal.clone()));
        let pins = Arc::new(Pins::default());
        let factory = Factory {
            peers: peers.clone(),
            pins: pins.clone(),
        };
        let config = Arc::new(raft_config(settings)?);
        let raft = Raft::new(member, config, factory, log, machine)
            .await
            .map_err(|error| StartError::Raft(error.to_string()))?;
        let leadership = Arc::new(Leadership::new(
            member,
            &raft,
            peers.clone(),
            settings.election_timeout,
        ));
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
            quota_bytes: settings.quota_bytes,
            raft: raft.clone(),
            leadership: leadership.clone(),
            members: members.clone(),
            peers: peers.clone(),
            waiters,
            view: view.clone(),
        }));
        let transfer = Arc::new(Transfer {
            raft: raft.clone(),
            leadership: leadership.clone(),
            members: members.clone(),
            election_timeout: settings.election_timeout,
        });
        let changer = Arc::new(Changer {
            policy: settings.members,
            transfer: transfer.clone(),
            raft: raft.clone(),
            leadership: leadership.clone(),
            members: members.clone(),
            peers: peers.clone(),
            view: view.clone(),
            connectivity: Arc::new(Connectivity::default()),
            removal,
            serial: tokio::sync::Mutex::new(()),
        });
        Ok(Core {
            raft,
            pins,
            peers,
            leadership,
            members,
            read_index,
            proposer,
            changer,
            transfer,
        })
    }

    /// Everything that goes on by itself for as long as the member lives.
    fn spawn(
        &self,
        limits: keeper::Limits,
        wal: Wal,
        view: &View,
        leases: &Leases,
        term: &Arc<AtomicU64>,
    ) -> Vec<AbortHandle> {
        let (leadership, proposer) = (self.leadership.clone(), self.proposer.clone());
        let follow = follow(leadership.clone(), leases.clone(), term.clone());
        let expire = lease::expire(leadership, leases.clone(), proposer.clone());
        let keep = keeper::keep(
            self.raft.clone(),
            view.clone(),
            wal,
            self.pins.clone(),
            limits,
        );
        let connectivity = self.changer.connectivity.clone();
        let reach = connectivity::watch(connectivity, self.members.clone(), self.peers.clone());
        vec![
            tokio::spawn(self.read_index.clone().run()).abort_handle(),
            tokio::spawn(proposer.run()).abort_handle(),
            tokio::spawn(follow).abort_handle(),
            tokio::spawn(expire).abort_handle(),
            tokio::spawn(keep).abort_handle(),
            tokio::spawn(reach).abort_handle(),
        ]
    }
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
        // Only the keeper cuts the log: openraft's own cut knows nothing of snapshots on their way.
        max_in_snapshot_log_to_keep: u64::MAX,
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
