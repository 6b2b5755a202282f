//! From settings to a running member: opens every room in order, lets clients in once the member
//! has caught up with what was committed, and closes in the reverse order.

use anyhow::{Context as _, Result};
use mainstay_mvcc::Store;
use mainstay_raft::Node;
use mainstay_wal::Wal;
use mainstay_watch::Hub;

use crate::data_dir::DataDir;
use crate::rooms::{self, Rooms};
use crate::settings::Settings;
use crate::{cluster_version, compactor, listeners, logging, notify, open_files, stop, tls};

/// Runs the member until it is told to stop or can no longer keep its promises.
pub async fn run(settings: Settings) -> Result<()> {
    open_files::raise();
    tls::check(&settings)?;
    let dir = DataDir::open(&settings.data_dir, settings.wal_dir.as_deref())?;
    let sides = tls::open(&settings)?;
    // Bound before anything slow, so that a port in use is reported at once.
    let client_listeners = listeners::bind(&settings.listen_client, sides.client.as_ref())?;
    let peer_listeners = listeners::bind(&settings.listen_peer, sides.peer.as_ref())?;
    let metrics_listeners = listeners::bind(&settings.listen_metrics, sides.client.as_ref())?;
    let Rooms {
        identity,
        wal,
        hub,
        leases,
        auth,
        view,
        disk,
        raft_settings,
        raft_parts,
    } = rooms::open(&settings, &dir, peer_listeners, &sides)?;
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
        scratch_dir: dir.transfer.clone(),
        disk,
        log_dropped: logging::dropped(),
        tls: sides.all(),
        extensive_metrics: settings.metrics_extensive,
        access: settings.access.clone(),
        auth: auth.clone(),
        logins: settings.logins.clone(),
    });
    let serving = async {
        // Once its own entry has been applied here, this member has caught up with everything
        // that was committed before it started; sooner it could show an older state than it once
        // had shown.
        let urls = settings.advertise_client_urls.clone();
        node.publish(settings.name.clone(), urls).await;
        auth.forget_tokens();
        let clients = listeners::serve(client_listeners, metrics_listeners, &context);
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
