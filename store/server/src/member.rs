//! One life of a member: opens every room in order, lets clients in once the member has caught up
//! with what was committed, and closes in the reverse order.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use mainstay_api::Waiting;
use mainstay_auth::Auth;
use mainstay_mvcc::Store;
use mainstay_raft::{Dialler, Identity, Node, REMOVAL_LINGER, Removal, StartError, identity};
use mainstay_wal::Wal;
use mainstay_watch::Hub;
use tokio::time::sleep;

use crate::data_dir::DataDir;
use crate::intent::{self, Intent, Mode};
use crate::listeners::Doors;
use crate::rooms::{self, Rooms, Ties};
use crate::seat::{self, Seat, SeatError, Taken};
use crate::settings::Settings;
use crate::stop::Told;
use crate::tls::Sides;
use crate::{cluster_version, compactor, corruption, gate, listeners, logging, notify, telemetry};

/// How a member's life came to its end.
#[derive(Debug)]
pub enum Ended {
    /// By a signal.
    Told,
    /// It was removed from its cluster, for good.
    Removed,
    /// No cluster took it in, for this reason.
    Refused(String),
    /// The intent is another one now.
    Changed,
}

/// The intent that this life is of, and where a new one would stand.
pub struct Watched {
    pub intent: Intent,
    pub file: PathBuf,
}

impl Watched {
    /// Returns once the member must stop for what the file says. A file that cannot be read says
    /// nothing: what runs goes on.
    async fn overruled(&self) {
        loop {
            if let Ok(now) = intent::read(&self.file)
                && (now.mode == Mode::Hold
                    || now.incarnation != self.intent.incarnation
                    || now.cluster != self.intent.cluster)
            {
                tracing::warn!(?now, "the intent has changed");
                return;
            }
            sleep(intent::LOOK).await;
        }
    }
}

/// Runs the member until something ends it. An error is one that the process cannot go on after.
pub async fn run(
    settings: &Settings,
    dir: DataDir,
    sides: &Sides,
    told: &mut Told,
    watched: Option<&Watched>,
) -> Result<Ended> {
    // Bound before anything slow, so that a port in use is reported at once.
    let doors = Doors::bind(settings, sides.client.as_ref())?;
    let peer_listeners = listeners::bind(&settings.listen_peer, sides.peer.as_ref())?;
    let dialler = Dialler {
        resolver: sides.resolver.clone(),
        tls: sides.peer.clone(),
    };
    let seat = tokio::select! {
        seat = seat::take(settings, &dir, &dialler) => seat,
        () = explain(&doors, watched, "it is about to find its cluster") => return Ok(Ended::Changed),
        () = overruled(watched) => return Ok(Ended::Changed),
        signal = told.recv() => {
            tracing::info!(signal, "told to stop before the member had a cluster");
            return Ok(Ended::Told);
        }
    };
    let seat = match seat {
        Ok(Seat::Taken(seat)) => seat,
        Ok(Seat::Removed(identity)) => {
            say_removed(identity.member);
            return Ok(Ended::Removed);
        }
        Err(SeatError::Refused(refused)) => return Ok(Ended::Refused(refused.to_string())),
        Err(SeatError::Other(error)) => return Err(error),
    };
    if let Some(reason) = misplaced(watched, &dir, &seat)? {
        return Ok(Ended::Refused(reason));
    }
    let removal = Removal::default();
    let identity = seat.identity;
    let ties = Ties {
        seat,
        peer_listeners,
        dialler,
        removal: removal.clone(),
    };
    let rooms = rooms::open(settings, &dir, ties)?;
    let life = Life {
        settings,
        dir: &dir,
        sides,
        identity,
        watched,
    };
    life.lead(rooms, doors, removal, told).await
}

/// Whether the cluster that was found is another one than the intent names. What was noted of it is
/// taken back: the directory was empty.
fn misplaced(watched: Option<&Watched>, dir: &DataDir, seat: &Taken) -> Result<Option<String>> {
    let Some(watched) = watched else {
        return Ok(None);
    };
    if let Some(reason) = intent::foreign(&watched.intent, seat.identity.cluster) {
        identity::forget(&dir.member)?;
        return Ok(Some(reason));
    }
    if watched.intent.mode != Mode::ForceNew {
        intent::save_incarnation(&dir.member, watched.intent.incarnation)?;
    }
    Ok(None)
}

async fn overruled(watched: Option<&Watched>) {
    match watched {
        Some(watched) => watched.overruled().await,
        None => std::future::pending().await,
    }
}

/// With an intent, tells whoever asks that the process lives and what it waits for. Never ends.
async fn explain(doors: &Doors, watched: Option<&Watched>, reason: &str) {
    if watched.is_some() {
        gate::answer(&doors.all(), Waiting::because(reason)).await;
    }
    std::future::pending().await
}

struct Life<'a> {
    settings: &'a Settings,
    dir: &'a DataDir,
    sides: &'a Sides,
    identity: Identity,
    watched: Option<&'a Watched>,
}

impl Life<'_> {
    async fn lead(
        &self,
        rooms: Rooms,
        doors: Doors,
        removal: Removal,
        told: &mut Told,
    ) -> Result<Ended> {
        let Rooms {
            wal,
            hub,
            leases,
            auth,
            view,
            disk,
            raft_settings,
            raft_parts,
        } = rooms;
        let taking_part = mainstay_raft::start(raft_settings, raft_parts);
        let node = match self.begin(taking_part, &doors, removal, told).await? {
            Ok(node) => node,
            Err(ended) => {
                wal.close();
                return Ok(ended);
            }
        };
        if let Some(Watched { intent, .. }) = self.watched {
            intent::save_incarnation(&self.dir.member, intent.incarnation)?;
        }
        let telemetry = telemetry::start(self.settings.tracing.as_ref(), &self.sides.resolver)?;
        let context = mainstay_api::Context::new(mainstay_api::Parts {
            node: node.clone(),
            hub: hub.clone(),
            leases,
            view: view.clone(),
            limits: listeners::limits(self.settings),
            quota_bytes: self.settings.quota_backend_bytes,
            scratch_dir: self.dir.transfer.clone(),
            disk,
            log_dropped: logging::dropped(),
            tls: self.sides.all(),
            extensive_metrics: self.settings.metrics_extensive,
            access: self.settings.access.clone(),
            auth: auth.clone(),
            logins: self.settings.logins.clone(),
            spans: telemetry.spans(),
        });
        let outcome = tokio::select! {
            ended = self.serve(&node, doors, &context, &auth) => {
                ended.map(|()| Ended::Told)
            }
            gone = self.leave(&node) => gone.map(|()| Ended::Removed),
            reason = node.failed() => Err(anyhow::anyhow!("raft stopped: {reason}")),
            () = overruled(self.watched) => Ok(Ended::Changed),
            signal = told.recv() => {
                tracing::info!(signal, "stopping");
                Ok(Ended::Told)
            }
        };
        close(&node, &hub, view.store(), wal, outcome.is_ok()).await;
        telemetry.end().await;
        outcome
    }

    /// Waits until the member takes part in its cluster, or for what ends its life sooner.
    async fn begin(
        &self,
        taking_part: impl Future<Output = Result<Node, StartError>>,
        doors: &Doors,
        removal: Removal,
        told: &mut Told,
    ) -> Result<Result<Node, Ended>> {
        tokio::select! {
            started = taking_part => match started {
                Ok(node) => Ok(Ok(node)),
                Err(StartError::Bootstrap(refused)) => Ok(Err(Ended::Refused(refused.to_string()))),
                Err(error) => Err(error.into()),
            },
            () = explain(doors, self.watched, "it waits for the others to form a cluster") => {
                Ok(Err(Ended::Changed))
            }
            () = overruled(self.watched) => Ok(Err(Ended::Changed)),
            signal = told.recv() => {
                tracing::info!(signal, "told to stop before the member took part");
                Ok(Err(Ended::Told))
            }
            () = removal.known() => {
                self.note_removed()?;
                Ok(Err(Ended::Removed))
            }
        }
    }

    async fn serve(
        &self,
        node: &Node,
        doors: Doors,
        context: &std::sync::Arc<mainstay_api::Context>,
        auth: &Auth,
    ) -> Result<()> {
        let settings = self.settings;
        let caught_up = async {
            // An added voter is none before it has the log; sooner it would pass for one that is up.
            node.admitted().await;
            // Once its own entry has been applied here, this member has caught up with everything
            // that was committed before it started; sooner it could show an older state than it
            // once had shown.
            let urls = settings.advertise_client_urls.clone();
            node.publish(settings.name.clone(), urls).await;
        };
        tokio::select! {
            () = caught_up => {}
            () = explain(&doors, self.watched, "it catches up with its cluster") => {}
        }
        auth.forget_tokens();
        if settings.corruption.at_start {
            corruption::at_start(node).await?;
        }
        let clients = listeners::serve(doors, context);
        let view = context.view.clone();
        let compacting = compactor::run(settings.auto_compaction, node.clone(), view.clone());
        tokio::spawn(compacting);
        tokio::spawn(cluster_version::keep(node.clone(), view));
        tokio::spawn(corruption::watch(node.clone(), settings.corruption));
        tracing::info!(
            member = format!("{:x}", self.identity.member),
            cluster = format!("{:x}", self.identity.cluster),
            "ready to serve client requests"
        );
        notify::ready();
        clients.run().await.context("client listeners")
    }

    /// Returns once this member was removed and has had the time to hand over and to answer.
    async fn leave(&self, node: &Node) -> Result<()> {
        node.removed().await;
        self.note_removed()?;
        node.resign().await;
        sleep(REMOVAL_LINGER).await;
        Ok(())
    }

    fn note_removed(&self) -> Result<()> {
        say_removed(self.identity.member);
        Ok(identity::save_removed(&self.dir.member)?)
    }
}

fn say_removed(member: u64) {
    let member = format!("{member:x}");
    tracing::warn!(
        member,
        "the member has been permanently removed from the cluster"
    );
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
