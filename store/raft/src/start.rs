//! Putting a member together and bringing it to the point where clients may be let in.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use mainstay_apply::{Applier, View, Waiters};
use mainstay_lease::Leases;
use mainstay_mvcc::Store;
use mainstay_wal::Wal;
use tokio_util::sync::CancellationToken;

use crate::bootstrap::{Bootstrap, BootstrapError, Forming};
use crate::consensus::Consensus;
use crate::force_new;
use crate::identity::{Identity, InitialCluster};
use crate::keeper;
use crate::machine::CommitObserver;
use crate::membership::change::Policy;
use crate::membership::removal::Removal;
use crate::node::Node;
use crate::peer::dial::Dialler;
use crate::peer::listen::{PeerListener, accept};
use crate::peer::serve::Service;

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
pub async fn start(settings: Settings, mut parts: Parts) -> Result<Node, StartError> {
    let identity = settings.identity;
    let state = parts.wal.state();
    let has_data = state.last.is_some() || parts.view.applied_index() > 0;
    let formed = settings.joined || has_data || state.vote.is_some();
    // Without data there is nothing to save, and a new member begins as any other (etcd).
    if settings.force_new_cluster && has_data {
        let applied = parts.applier.applied();
        let alone = force_new::stand_alone(&parts.wal, applied, identity.member).await;
        alone.map_err(StartError::ForceNew)?;
    }
    let listeners = std::mem::take(&mut parts.peer_listeners);
    let consensus = Consensus::open(&settings, parts).await?;
    let forming = Arc::new(Forming::new(identity, consensus.view.clone(), formed));
    let handler = Arc::new(consensus.handler(forming.clone(), formed));
    let stop = CancellationToken::new();
    let service = Arc::new(Service {
        cluster: identity.cluster,
        own: identity.member,
        handler: handler.clone(),
        scratch: settings.scratch_dir.clone(),
        stop: stop.clone(),
    });
    let mut tasks = consensus.spawn(&settings);
    for listener in listeners {
        tasks.push(tokio::spawn(accept(listener, service.clone())).abort_handle());
    }
    if !formed {
        let bootstrap = Bootstrap {
            identity,
            initial: settings.initial.clone(),
            peers: consensus.peers.clone(),
            raft: consensus.raft.clone(),
            handler,
            forming,
        };
        bootstrap.run().await?;
    } else if consensus.members.is_only_voter() {
        // Nobody else can win, so there is no reason to wait for an election timeout.
        let elect = consensus.raft.trigger().elect(false).await;
        elect.map_err(|error| StartError::Raft(error.to_string()))?;
    }
    Ok(consensus.into_node(&settings, tasks, stop))
}
