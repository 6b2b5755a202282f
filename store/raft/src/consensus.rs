//! Raft, and what proposes to it, reads through it and reaches the other members.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use mainstay_apply::View;
use mainstay_wal::Wal;
use openraft::{Config, SnapshotPolicy};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::bootstrap::Forming;
use crate::corruption::{Corruption, Hasher};
use crate::handler::Handler;
use crate::identity::Identity;
use crate::keeper;
use crate::leadership::{Leadership, follow};
use crate::lease::answers::Answers;
use crate::lease::{self, LeaseCalls};
use crate::log::Log;
use crate::machine::Machine;
use crate::membership::Members;
use crate::membership::admission;
use crate::membership::change::Changer;
use crate::membership::connectivity::{self, Connectivity};
use crate::membership::removal::Removal;
use crate::network::Factory;
use crate::node::{Inner, Node};
use crate::peers::Peers;
use crate::propose::{self, Proposer};
use crate::read_index::ReadIndex;
use crate::snapshot::pins::Pins;
use crate::start::{Parts, Settings, StartError};
use crate::transfer::Transfer;
use crate::types::Raft;

/// Entries in one append; bytes are bounded where the log is read.
const APPEND_ENTRIES_MAX: u64 = 4096;
/// A snapshot of any size may take its time; a lost connection ends it sooner.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(3600);

pub(crate) struct Consensus {
    pub raft: Raft,
    pub peers: Arc<Peers>,
    pub members: Arc<Members>,
    pub view: View,
    pins: Arc<Pins>,
    leadership: Arc<Leadership>,
    read_index: Arc<ReadIndex>,
    proposer: Arc<Proposer>,
    changer: Arc<Changer>,
    transfer: Arc<Transfer>,
    hasher: Arc<Hasher>,
    wal: Wal,
    answers: Arc<Answers>,
    removal: Removal,
    term: Arc<AtomicU64>,
}

impl Consensus {
    pub async fn open(settings: &Settings, parts: Parts) -> Result<Consensus, StartError> {
        let Identity { member, cluster } = settings.identity;
        let view = parts.view;
        let peers = Peers::new(parts.dialler, cluster, member, parts.removal.clone());
        let peers = Arc::new(peers);
        let pins = Arc::new(Pins::default());
        let factory = Factory {
            peers: peers.clone(),
            pins: pins.clone(),
        };
        let machine = Machine::new(
            parts.applier,
            parts.store,
            settings.store.clone(),
            settings.scratch_dir.clone(),
            parts.committed,
        );
        let raft = open_raft(settings, &parts.wal, machine, factory).await?;
        let timeout = settings.election_timeout;
        let leadership = Arc::new(Leadership::new(member, &raft, peers.clone(), timeout));
        let members = Arc::new(Members::new(member, &raft));
        let proposer = Arc::new(Proposer::new(propose::Parts {
            own: member,
            request_bytes_max: settings.request_bytes_max,
            quota_bytes: settings.quota_bytes,
            raft: raft.clone(),
            leadership: leadership.clone(),
            members: members.clone(),
            peers: peers.clone(),
            waiters: parts.waiters,
            view: view.clone(),
        }));
        let transfer = Arc::new(Transfer {
            raft: raft.clone(),
            leadership: leadership.clone(),
            members: members.clone(),
            election_timeout: timeout,
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
            removal: parts.removal.clone(),
            serial: tokio::sync::Mutex::new(()),
        });
        let read_index = ReadIndex::new(
            raft.clone(),
            leadership.clone(),
            members.clone(),
            peers.clone(),
        );
        Ok(Consensus {
            read_index: Arc::new(read_index),
            hasher: Arc::new(Hasher::new(view.clone())),
            wal: parts.wal,
            answers: Arc::new(Answers {
                raft: raft.clone(),
                leadership: leadership.clone(),
                leases: parts.leases,
                view: view.clone(),
            }),
            removal: parts.removal,
            term: parts.term,
            raft,
            pins,
            peers,
            leadership,
            members,
            proposer,
            changer,
            transfer,
            view,
        })
    }

    /// What answers the other members.
    pub fn handler(&self, formation: Arc<Forming>, formed: bool) -> Handler {
        Handler {
            raft: self.raft.clone(),
            leadership: self.leadership.clone(),
            read_index: self.read_index.clone(),
            proposer: self.proposer.clone(),
            leases: self.answers.clone(),
            view: self.view.clone(),
            formation,
            hasher: self.hasher.clone(),
            changer: self.changer.clone(),
            admitted: AtomicBool::new(formed),
        }
    }

    /// Everything that goes on by itself for as long as the member lives.
    pub fn spawn(&self, settings: &Settings) -> Vec<AbortHandle> {
        let (leadership, proposer) = (self.leadership.clone(), self.proposer.clone());
        let leases = self.answers.leases.clone();
        let follow = follow(leadership.clone(), leases.clone(), self.term.clone());
        let expire = lease::expire(leadership, leases, proposer.clone());
        let keep = keeper::keep(
            self.raft.clone(),
            self.view.clone(),
            self.wal.clone(),
            self.pins.clone(),
            settings.keeper,
        );
        let connectivity = self.changer.connectivity.clone();
        let reach = connectivity::watch(connectivity, self.members.clone(), self.peers.clone());
        let own = settings.identity.member;
        let removed = self.removal.clone().follow(self.view.clone(), own);
        let admit = admission::admit(self.changer.clone(), settings.election_timeout);
        vec![
            tokio::spawn(self.read_index.clone().run()).abort_handle(),
            tokio::spawn(proposer.run()).abort_handle(),
            tokio::spawn(follow).abort_handle(),
            tokio::spawn(expire).abort_handle(),
            tokio::spawn(keep).abort_handle(),
            tokio::spawn(reach).abort_handle(),
            tokio::spawn(removed).abort_handle(),
            tokio::spawn(admit).abort_handle(),
        ]
    }

    /// The handle by which the rest of the server uses the member; `tasks` end with it.
    pub fn into_node(
        self,
        settings: &Settings,
        tasks: Vec<AbortHandle>,
        stop: CancellationToken,
    ) -> Node {
        Node(Arc::new(Inner {
            own: settings.identity.member,
            cluster: settings.identity.cluster,
            term: self.term,
            lease_calls: LeaseCalls {
                here: self.answers,
                members: self.members.clone(),
                peers: self.peers.clone(),
            },
            corruption: Corruption {
                members: self.members,
                peers: self.peers.clone(),
                hasher: self.hasher,
                view: self.view.clone(),
            },
            raft: self.raft,
            leadership: self.leadership,
            peers: self.peers,
            proposer: self.proposer,
            read_index: self.read_index,
            changer: self.changer,
            transfer: self.transfer,
            removal: self.removal,
            view: self.view,
            election_timeout: settings.election_timeout,
            #[cfg(feature = "planted-faults")]
            skip_read_index: settings.skip_read_index,
            tasks: parking_lot::Mutex::new(tasks),
            stop,
        }))
    }
}

async fn open_raft(
    settings: &Settings,
    wal: &Wal,
    machine: Machine,
    factory: Factory,
) -> Result<Raft, StartError> {
    let log = Log::new(wal.clone()).map_err(StartError::Log)?;
    let config = Arc::new(raft_config(settings)?);
    let raft = Raft::new(settings.identity.member, config, factory, log, machine).await;
    raft.map_err(|error| StartError::Raft(error.to_string()))
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
