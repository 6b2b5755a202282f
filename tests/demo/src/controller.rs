//! Makes the workers that are there the workers that are wanted.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use mainstay_client::controller::{Action, Controller, Post};
use mainstay_client::kv::{Compare, Op};
use mainstay_client::resource::{Object, Resources};
use mainstay_client::{Client, Error};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::fleet::{self, CONTROLLER_TTL, Kept, Kind, MOST_WORKERS, POST, WORKER_TTL, Worker};

struct Workshop {
    client: Client,
    endpoints: String,
    kinds: Resources<Kind>,
    stop: Arc<Notify>,
}

pub async fn run(client: Client, endpoints: String, name: String) -> Result<()> {
    let stop = Arc::new(Notify::new());
    let told = stop.clone();
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        terminated.recv().await;
        // It is kept for whoever asks later.
        told.notify_one();
    });
    let workshop = Arc::new(Workshop {
        kinds: client.resources(),
        client,
        endpoints,
        stop,
    });
    // Who has lost the post may have been out of reach for long: it begins anew, as another.
    while let Err(error) = lead(&workshop, &name).await {
        match error {
            Error::LeaseLost { .. } => eprintln!("{name}: {error}"),
            error => bail!(error),
        }
    }
    Ok(())
}

async fn lead(workshop: &Arc<Workshop>, name: &str) -> Result<(), Error> {
    let client = &workshop.client;
    let workers: Resources<Worker> = client.resources();
    let stop = workshop.stop.clone();
    let controller = Controller::new(workshop.kinds.clone())
        .owns(&workers, |worker: &Object<Worker>| {
            fleet::kind_of(&worker.name).map(str::to_owned)
        })
        .leading(Post::new(client, POST, name, CONTROLLER_TTL))
        .until(async move { stop.notified().await });
    let again = |_, _: &anyhow::Error, _| Action::BackOff;
    controller.run(reconcile, again, workshop.clone()).await
}

/// Compares what is wanted of a kind with its workers, and starts or ends what differs.
async fn reconcile(kind: Arc<Object<Kind>>, workshop: Arc<Workshop>) -> Result<Action> {
    if kind.is_being_deleted() {
        end(&workshop, &kind, 0).await?;
        workshop.kinds.release(&kind, "fleet").await?;
        return Ok(Action::AwaitChange);
    }
    // The kind stays until its workers are gone, whoever deletes it.
    workshop.kinds.hold(&kind, "fleet").await?;
    let wanted = kind.spec.workers.min(MOST_WORKERS);
    let there = end(&workshop, &kind, wanted).await?;
    let mut kept = Kept {
        working: 0,
        starting: 0,
    };
    for number in 0..wanted {
        match there.get(&number) {
            Some(worker) if worker.pid.is_some() => kept.working += 1,
            Some(_) => kept.starting += 1,
            None => {
                start(&workshop, &kind, number).await?;
                kept.starting += 1;
            }
        }
    }
    workshop.kinds.tell(&kind, kept).await?;
    Ok(Action::AwaitChange)
}

/// Ends the workers that are too many or have another job, and tells which are left.
async fn end(
    workshop: &Workshop,
    kind: &Object<Kind>,
    wanted: usize,
) -> Result<BTreeMap<usize, Worker>> {
    let prefix = format!("fleet/workers/{}.", kind.name);
    let mut left = BTreeMap::new();
    for kv in workshop.client.get(prefix).prefix().await?.kvs {
        let Some((name, worker)) = fleet::read(&kv) else {
            continue;
        };
        let number = name
            .rsplit_once('.')
            .and_then(|(_, text)| text.parse().ok());
        match number {
            Some(number) if number < wanted && worker.job == kind.spec.job => {
                left.insert(number, worker);
            }
            // It stops when its lease does; the key goes with it.
            _ => workshop.client.revoke_lease(kv.lease).await?,
        }
    }
    Ok(left)
}

/// Takes a worker's place and starts a process for it. Two controllers that try take it once: the
/// place is a key, and the key hangs on the lease that the process goes on with.
async fn start(workshop: &Workshop, kind: &Object<Kind>, number: usize) -> Result<()> {
    let client = &workshop.client;
    let name = format!("{}.{number}", kind.name);
    let worker = Worker {
        job: kind.spec.job.clone(),
        pid: None,
    };
    let lease = client.lease(WORKER_TTL).await?;
    let key = format!("fleet/workers/{name}");
    let place = Op::put_leased(&key, serde_json::to_vec(&worker)?, lease.id());
    let taken = client.txn().when(Compare::missing(&key)).then(place).await;
    let spawned = match taken {
        Ok(taken) if taken.succeeded => spawn(workshop, &name, &worker, lease.id()),
        Ok(_) => Err(anyhow::anyhow!("{name} is another's by now")),
        Err(error @ Error::OutcomeUnknown { .. }) => Err(error.into()),
        Err(error) => bail!(error),
    };
    match spawned {
        // The process keeps the lease from here on.
        Ok(()) => Ok(()),
        Err(error) => {
            lease.revoke().await?;
            Err(error)
        }
    }
}

fn spawn(workshop: &Workshop, name: &str, worker: &Worker, lease: i64) -> Result<()> {
    let program = std::env::current_exe().context("where this program lies")?;
    let mut command = std::process::Command::new(program);
    command
        .args(["worker", "--endpoints", &workshop.endpoints])
        .args(["--name", name, "--job", &worker.job])
        .args(["--lease", &format!("{lease:x}")])
        .stdin(Stdio::null())
        // It lives on when this controller does not.
        .process_group(0);
    let mut child = tokio::process::Command::from(command)
        .spawn()
        .with_context(|| format!("start {name}"))?;
    tokio::spawn(async move { child.wait().await });
    Ok(())
}
