//! From settings to a running member: opens every room in order, lets clients in once the member
//! has caught up with what was committed, and closes in the reverse order.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, Result};
use mainstay_apply::{Applier, ApplyOptions, Waiters};
use mainstay_lease::{Leases, Options as LeaseOptions};
use mainstay_mvcc::Store;
use mainstay_raft::{InitialCluster, KeeperLimits, Node, Peer, identity};
use mainstay_wal::Wal;
use mainstay_watch::{HeaderIds, Hub};

use crate::data_dir::DataDir;
use crate::disk_observer::WalObserver;
use crate::settings::Settings;
use crate::{cluster_version, compactor, listeners, logging, notify, planted, stop};

/// Entries that may be applied beyond the last flush, for each of `--snapshot-count`: a flush of
/// RocksDB is dearer than etcd's snapshot record, and a restart applies this many in about a
/// second.
const UNFLUSHED_SNAPSHOT_COUNTS: u64 = 10;

/// Runs the member until it is told to stop or can no longer keep its promises.
pub async fn run(settings: Settings) -> Result<()> {
    let dir = DataDir::open(&settings.data_dir, settings.wal_dir.as_deref())?;
    let initial = initial_cluster(&settings);
    let identity = match identity::load(&dir.member)? {
        Some(identity) => identity,
        None => {
            let identity = initial.identity(&settings.name)?;
            identity::save(&dir.member, identity)?;
            identity
        }
    };
    // Bound before anything slow, so that a port in use is reported at once.
    let client_listeners = listeners::bind(&settings.listen_client)?;
    let peer_listeners = listeners::bind(&settings.listen_peer)?;
    let metrics_listeners = listeners::bind(&settings.listen_metrics)?;
    let faults = planted::Faults::from_env()?;

    let disk = Arc::new(mainstay_api::Disk::default());
    let wal = open_wal(&settings, &dir, &faults, disk.clone())?;
    let mut store_options = mainstay_mvcc::Options::new(&dir.store);
    faults.plant_store(&mut store_options);
    let (store, writer) = Store::open(store_options.clone()).context("store")?;
    let term = Arc::new(AtomicU64::new(0));
    let hub = Hub::new(
        store.clone(),
        hub_options(&settings, identity, &term, &faults),
    );
    let epoch = std::time::Instant::now();
    let clock = Arc::new(move || epoch.elapsed());
    let leases = Leases::new(LeaseOptions::new(settings.election_timeout, clock));
    let waiters = Waiters::default();
    let applier = Applier::open(
        ApplyOptions {
            member_id: identity.member,
            quota_bytes: settings.quota_backend_bytes,
        },
        store.clone(),
        writer,
        hub.clone(),
        leases.clone(),
        waiters.clone(),
    )?;
    let view = applier.view();
    let raft_settings = mainstay_raft::Settings {
        identity,
        initial,
        heartbeat: settings.heartbeat,
        election_timeout: settings.election_timeout,
        pre_vote: settings.pre_vote,
        request_bytes_max: settings.max_request_bytes,
        keeper: KeeperLimits {
            unflushed_entries_max: settings
                .snapshot_count
                .saturating_mul(UNFLUSHED_SNAPSHOT_COUNTS),
            catchup_entries: settings.catchup_entries,
        },
        store: store_options,
        scratch_dir: dir.transfer.clone(),
        #[cfg(feature = "planted-faults")]
        skip_read_index: faults.skip_read_index,
    };
    let raft_parts = mainstay_raft::Parts {
        wal: wal.clone(),
        store,
        applier,
        view: view.clone(),
        waiters,
        leases: leases.clone(),
        peer_listeners,
        term,
    };
    // Watched from the first moment: forming a cluster may take as long as its operator does.
    let mut told = stop::signals()?;
    let node = tokio::select! {
        started = mainstay_raft::start(raft_settings, raft_parts) => started?,
        signal = told.recv() => {
            tracing::info!(signal, "told to stop before the member took part");
            wal.close();
            return Ok(());
        }
    };
    let context = mainstay_api::Context::new(mainstay_api::Parts {
        node: node.clone(),
        hub: hub.clone(),
        leases,
        view: view.clone(),
        limits: listeners::limits(&settings),
        quota_bytes: settings.quota_backend_bytes,
        disk,
        log_dropped: logging::dropped(),
        extensive_metrics: settings.metrics_extensive,
    });
    let serving = async {
        // Once its own entry has been applied here, this member has caught up with everything
        // that was committed before it started; sooner it could show an older state than it once
        // had shown.
        let urls = settings.advertise_client_urls.clone();
        node.publish(settings.name.clone(), urls).await;
        let clients = listeners::serve(client_listeners, metrics_listeners, &context, &settings);
        let compacting = compactor::run(settings.auto_compaction, node.clone(), view.clone());
        tokio::spawn(compacting);
        tokio::spawn(cluster_version::decide(node.clone(), view.clone()));
        tracing::info!(
            member = format!("{:x}", identity.member),
            cluster = format!("{:x}", identity.cluster),
            "ready to serve client requests"
        );
        notify::ready();
        clients.run().await
    };
    let outcome = tokio::select! {
        ended = serving => ended.context("client listeners"),
        reason = node.failed() => Err(anyhow::anyhow!("raft stopped: {reason}")),
        signal = told.recv() => {
            tracing::info!(signal, "stopping");
            Ok(())
        }
    };
    close(&node, &hub, view.store(), wal, outcome.is_ok()).await;
    drop(dir);
    outcome
}

fn initial_cluster(settings: &Settings) -> InitialCluster {
    InitialCluster {
        members: settings
            .initial_cluster
            .iter()
            .map(|(name, peer_urls)| Peer {
                name: name.clone(),
                peer_urls: peer_urls.clone(),
            })
            .collect(),
        token: settings.initial_cluster_token.clone(),
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

/// Leadership first, then clients, raft, and last the files. After a failure nothing is flushed:
/// what failed may be the disk.
async fn close(node: &Node, hub: &Hub, store: Store, wal: Wal, healthy: bool) {
    if healthy {
        node.resign().await;
    }
    hub.close();
    node.stop().await;
    if healthy {
        let flushed = tokio::task::spawn_blocking(move || store.flush()).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "the store was not flushed; the next start applies more");
        }
    }
    wal.close();
}
