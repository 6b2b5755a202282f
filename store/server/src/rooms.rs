//! The rooms of a member, opened in order and handed their parts of each other. Nothing here takes
//! part in the cluster yet.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, Result};
use mainstay_apply::{Applier, ApplyOptions, View, Waiters};
use mainstay_auth::Auth;
use mainstay_lease::{Leases, Options as LeaseOptions};
use mainstay_mvcc::Store;
use mainstay_raft::{Dialler, Identity, InitialCluster, KeeperLimits, PeerListener, Removal};
use mainstay_wal::Wal;
use mainstay_watch::{HeaderIds, Hub};

use crate::data_dir::DataDir;
use crate::disk_observer::WalObserver;
use crate::listeners::Bound;
use crate::planted;
use crate::seat::Taken;
use crate::settings::Settings;

/// Entries that may be applied beyond the last flush, for each of `--snapshot-count`: a flush of
/// RocksDB is dearer than etcd's snapshot record, and a restart applies this many in about a
/// second.
const UNFLUSHED_SNAPSHOT_COUNTS: u64 = 10;

/// The log's length on disk: four segments, and the spare ones beside them. Entries of the usual size
/// reach the limits of their number long before.
const LOG_BYTES_MAX: u64 = 4 * mainstay_wal::SEGMENT_BYTES;

/// What is open, and what raft is to be started with.
pub struct Rooms {
    pub wal: Wal,
    pub hub: Hub,
    pub leases: Leases,
    pub auth: Auth,
    pub view: View,
    pub disk: Arc<mainstay_api::Disk>,
    pub raft_settings: mainstay_raft::Settings,
    pub raft_parts: mainstay_raft::Parts,
}

/// Who the member is, and how it reaches and is reached by others.
pub struct Ties {
    pub seat: Taken,
    pub peer_listeners: Vec<Bound>,
    pub dialler: Dialler,
    pub removal: Removal,
}

/// Opens log, store, watches, leases and apply of the member that `dir` belongs to.
pub fn open(settings: &Settings, dir: &DataDir, ties: Ties) -> Result<Rooms> {
    let faults = planted::Faults::from_env()?;
    let Taken {
        identity,
        joined,
        initial,
    } = ties.seat;
    let disk = Arc::new(mainstay_api::Disk::default());
    let wal = open_wal(settings, dir, &faults, disk.clone())?;
    let mut store_options = mainstay_mvcc::Options::new(&dir.store);
    faults.plant_store(&mut store_options);
    let (store, writer) = Store::open(store_options.clone()).context("store")?;
    let term = Arc::new(AtomicU64::new(0));
    let hub_options = hub_options(settings, identity, &term, &faults);
    let hub = Hub::new(store.clone(), hub_options);
    let epoch = std::time::Instant::now();
    let clock = Arc::new(move || epoch.elapsed());
    let leases = Leases::new(LeaseOptions::new(settings.election_timeout, clock.clone()));
    let auth = Auth::new(mainstay_auth::Options {
        token_ttl: settings.token_ttl,
        now: clock,
    });
    let waiters = Waiters::default();
    let apply_options = ApplyOptions {
        member_id: identity.member,
        quota_bytes: settings.quota_backend_bytes,
    };
    let applier = Applier::open(
        apply_options,
        store.clone(),
        writer,
        hub.clone(),
        leases.clone(),
        auth.clone(),
        waiters.clone(),
    )?;
    let view = applier.view();
    let commits = disk.clone();
    let raft_parts = mainstay_raft::Parts {
        committed: Arc::new(move |took| commits.backend_commit.observe(took)),
        wal: wal.clone(),
        store,
        applier,
        view: view.clone(),
        waiters,
        leases: leases.clone(),
        peer_listeners: ties.peer_listeners.into_iter().map(peer_listener).collect(),
        dialler: ties.dialler,
        removal: ties.removal,
        term,
    };
    let mut raft_settings = raft_settings(settings, dir, identity, initial, store_options);
    raft_settings.joined = joined;
    faults.plant_raft(&mut raft_settings);
    Ok(Rooms {
        wal,
        hub,
        leases,
        auth,
        view,
        disk,
        raft_settings,
        raft_parts,
    })
}

fn peer_listener(bound: Bound) -> PeerListener {
    let Bound { socket, tls } = bound;
    PeerListener { socket, tls }
}

fn raft_settings(
    settings: &Settings,
    dir: &DataDir,
    identity: Identity,
    initial: InitialCluster,
    store: mainstay_mvcc::Options,
) -> mainstay_raft::Settings {
    mainstay_raft::Settings {
        identity,
        initial,
        joined: false,
        force_new_cluster: settings.force_new_cluster,
        members: settings.members,
        heartbeat: settings.heartbeat,
        election_timeout: settings.election_timeout,
        pre_vote: settings.pre_vote,
        request_bytes_max: settings.max_request_bytes,
        quota_bytes: settings.quota_backend_bytes,
        keeper: KeeperLimits {
            unflushed_entries_max: settings
                .snapshot_count
                .saturating_mul(UNFLUSHED_SNAPSHOT_COUNTS),
            catchup_entries: settings.catchup_entries,
            log_bytes_max: LOG_BYTES_MAX,
        },
        store,
        scratch_dir: dir.transfer.clone(),
        #[cfg(feature = "planted-faults")]
        skip_read_index: false,
    }
}

fn open_wal(
    settings: &Settings,
    dir: &DataDir,
    faults: &planted::Faults,
    disk: Arc<mainstay_api::Disk>,
) -> Result<Wal> {
    let mut options = mainstay_wal::Options::new(&dir.wal);
    options.sync = !settings.unsafe_no_fsync;
    options.observer = Arc::new(WalObserver(disk));
    faults.plant_wal(&mut options);
    let wal = Wal::open(options).context("raft log")?;
    let recovered = wal.state().recovered;
    tracing::info!(?recovered, "raft log opened");
    Ok(wal)
}

fn hub_options(
    settings: &Settings,
    identity: mainstay_raft::Identity,
    term: &Arc<AtomicU64>,
    faults: &planted::Faults,
) -> mainstay_watch::Options {
    let term = term.clone();
    let header = Arc::new(move || HeaderIds {
        cluster_id: identity.cluster,
        member_id: identity.member,
        raft_term: term.load(std::sync::atomic::Ordering::Relaxed),
    });
    let mut options = mainstay_watch::Options::new(header, mainstay_api::watch_reasons());
    options.progress_interval = settings.watch_progress_interval;
    options.fragment_bytes_max = settings.max_request_bytes + (512 << 10);
    faults.plant_hub(&mut options);
    options
}
