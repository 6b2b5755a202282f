//! One run: cluster, load, recording, convergence, verdict.

use std::{
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, bail};
use mainstay_model::{History, MemberLog, Outcome, Request, Rule, Violation};
use rand::{Rng, rngs::StdRng};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    client::Client,
    cluster::{Cluster, HEAL_TIMEOUT, Setup},
    collector::{self, Collector},
    lease_load, load,
    load::{Plan, SharedLeases},
    options::Options,
    recorder::Recorder,
    tally::Tally,
    verdict, watching,
};

/// Pause between two compactions.
const COMPACTION_MILLIS: std::ops::Range<u64> = 500..2500;

/// Revisions that a compaction leaves readable.
const COMPACTION_DISTANCE: std::ops::Range<i64> = 5..250;

/// How long leases that nobody renews may take to go, and members to tell their last event.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Ids of clients that are not part of the common load.
const COMPACTOR: u32 = 50;
const LEASE_CLIENTS: std::ops::Range<u32> = 60..62;
const WATCHERS: u32 = 70;
const CLOSER: u32 = 90;

/// What a finished run has shown.
#[derive(Debug)]
pub struct Findings {
    pub history: History,
    pub violations: Vec<Violation>,
    /// Every member served again and told the same in the end.
    pub converged: bool,
}

/// A running cluster under load.
#[derive(Debug)]
pub struct Session {
    pub cluster: Cluster,
    pub recorder: Arc<Recorder>,
    pub directory: PathBuf,
    plan: Plan,
    known_defects: &'static [Rule],
    collectors: Vec<Collector>,
    tasks: Vec<JoinHandle<()>>,
    stop_load: watch::Sender<bool>,
    stop_collectors: watch::Sender<bool>,
}

impl Session {
    /// Starts a cluster in `<directory>/<name>` and the load on it.
    ///
    /// # Errors
    /// If the cluster does not start.
    pub async fn start(
        options: &Options,
        name: &str,
        setup: &Setup,
        plan: Plan,
        random: &mut StdRng,
    ) -> anyhow::Result<Session> {
        let directory = options.directory.join(name);
        fs::create_dir_all(&directory)?;
        let cluster = Cluster::start(options, setup, &directory, random).await?;
        let (stop_load, _) = watch::channel(false);
        let (stop_collectors, _) = watch::channel(false);
        let mut session = Session {
            cluster,
            recorder: Arc::new(Recorder::default()),
            directory,
            plan,
            known_defects: options.known_defects(),
            collectors: Vec::new(),
            tasks: Vec::new(),
            stop_load,
            stop_collectors,
        };
        for connection in session.cluster.connect()? {
            let stop = session.stop_collectors.subscribe();
            session.collectors.push(Collector::spawn(connection, stop));
        }
        session.load(random.random())?;
        Ok(session)
    }

    /// A client with its own connections: to one member, or to all in turn.
    ///
    /// # Errors
    /// As [`Cluster::connect`].
    pub fn client(&self, id: u32, member: Option<usize>) -> anyhow::Result<Client> {
        let mut connections = self.cluster.connect()?;
        if let Some(member) = member {
            connections = vec![connections.swap_remove(member)];
        }
        Ok(Client::new(
            id,
            Arc::clone(&self.recorder),
            connections,
            self.plan.timeout,
        ))
    }

    /// Runs a task until the load ends.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tokio::spawn(task));
    }

    /// Tells when the load ends.
    #[must_use]
    pub fn stop(&self) -> watch::Receiver<bool> {
        self.stop_load.subscribe()
    }

    /// Three in four clients are pinned to a member, the others go round.
    fn load(&mut self, seed: u64) -> anyhow::Result<()> {
        let (plan, leases) = (self.plan, SharedLeases::default());
        for id in 0..plan.clients {
            let pinned = (id % 4 != 3).then_some(id as usize % self.cluster.members.len());
            let (client, stop) = (self.client(id, pinned)?, self.stop_load.subscribe());
            self.tasks.push(tokio::spawn(load::run(
                client,
                plan,
                seed,
                leases.clone(),
                stop,
            )));
        }
        if plan.leases {
            for id in LEASE_CLIENTS {
                let (client, stop) = (self.client(id, None)?, self.stop_load.subscribe());
                self.tasks.push(tokio::spawn(lease_load::run(
                    client,
                    seed,
                    leases.clone(),
                    stop,
                )));
            }
        }
        for number in 0..plan.watchers {
            let (connections, stop) = (self.cluster.connect()?, self.stop_load.subscribe());
            let recorder = Arc::clone(&self.recorder);
            let watching = watching::run(WATCHERS + number, connections, recorder, seed, stop);
            self.tasks.push(tokio::spawn(watching));
        }
        if plan.compaction {
            let (client, stop) = (self.client(COMPACTOR, None)?, self.stop_load.subscribe());
            let told = self.collectors.iter().map(Collector::through).collect();
            self.tasks
                .push(tokio::spawn(compact(client, told, seed, stop)));
        }
        Ok(())
    }

    /// Heals, stops the load, waits until all members tell the same, and judges.
    ///
    /// # Errors
    /// If the machine refuses; what the members do wrong goes into the tally.
    pub async fn finish(mut self, tally: &mut Tally) -> anyhow::Result<Findings> {
        self.cluster.heal()?;
        let healthy = self.cluster.wait_healthy(HEAL_TIMEOUT).await;
        let healed = tally.outcome("every member serves after healing", healthy);
        self.stop_load.send_replace(true);
        for task in self.tasks.drain(..) {
            task.await.context("a task of the load panicked")?;
        }
        let mut again = Vec::new();
        let mut converged = healed;
        if healed {
            let settled = self.settle(&mut again).await;
            converged = tally.outcome("members converge to equal events and hashes", settled);
        }
        self.stop_collectors.send_replace(true);
        let end = self.recorder.now();
        let mut history = self.recorder.take();
        history.end = end;
        for collector in self.collectors.drain(..) {
            history.members.push(collector.finish().await?);
        }
        history.members.extend(again);
        let panics: Vec<String> = self
            .cluster
            .members
            .iter()
            .flat_map(crate::member::Member::panics)
            .collect();
        let calm = tally.check("no member panicked", &panics);
        let violations = verdict::report(&history, self.known_defects, tally);
        if !calm || !converged || !violations.is_empty() {
            self.keep(&history, &violations)?;
        }
        Ok(Findings {
            history,
            violations,
            converged,
        })
    }

    /// Waits for the last lease, then for every member to tell its last revision, reads all events
    /// again and compares the hashes.
    async fn settle(&mut self, again: &mut Vec<MemberLog>) -> anyhow::Result<()> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        if self.plan.leases {
            while let leases = self.cluster.leases(0).await?
                && !leases.is_empty()
            {
                if Instant::now() > deadline {
                    bail!("leases {leases:?} are still there {SETTLE_TIMEOUT:?} after the load");
                }
                sleep(Duration::from_millis(200)).await;
            }
        }
        let last = self.last_revision().await?;
        for (member, collector) in self.collectors.iter().enumerate() {
            let through = collector.through();
            while through.load(Ordering::Relaxed) < last {
                if Instant::now() > deadline {
                    let at = through.load(Ordering::Relaxed);
                    bail!("member {member} tells its events only to {at}, the store is at {last}");
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        let hashes = self.cluster.hashes(last).await?;
        println!("HashKV at revision {last} and compacted revision: {hashes:?}");
        if hashes.iter().any(|hash| *hash != hashes[0]) {
            bail!("HashKV differs at revision {last}: {hashes:?}");
        }
        for (index, (_, compacted)) in hashes.iter().enumerate() {
            let probe = self.cluster.probe(index);
            let from = compacted.max(&1) + 1;
            again.push(collector::read_again(probe, from, last, SETTLE_TIMEOUT).await?);
        }
        Ok(())
    }

    /// The revision at which every member reads, which must be one and the same.
    async fn last_revision(&self) -> anyhow::Result<i64> {
        let mut revisions = Vec::new();
        for member in 0..self.cluster.members.len() {
            let mut client = self.client(CLOSER, Some(member))?;
            let all = Request::Range {
                key: "\0".to_owned(),
                range_end: "\0".to_owned(),
                revision: 0,
                limit: 0,
                serializable: false,
            };
            match client.call(all).await {
                Outcome::Ok(response) => revisions.push(response.revision),
                other => bail!("member {member} does not read at the end: {other:?}"),
            }
        }
        match revisions.iter().max() {
            Some(last) if revisions.iter().all(|revision| revision == last) => Ok(*last),
            _ => bail!("members read at different revisions without load: {revisions:?}"),
        }
    }

    fn keep(&self, history: &History, violations: &[Violation]) -> anyhow::Result<()> {
        let path = self.directory.join("history.jsonl");
        let mut file = BufWriter::new(fs::File::create(&path)?);
        history.write(&mut file)?;
        file.flush()?;
        write_violations(&self.directory, violations)?;
        println!("history and logs are in {}", self.directory.display());
        Ok(())
    }
}

fn write_violations(directory: &Path, violations: &[Violation]) -> anyhow::Result<()> {
    let mut file = BufWriter::new(fs::File::create(directory.join("violations.txt"))?);
    for violation in violations {
        writeln!(file, "{violation}")?;
    }
    Ok(file.flush()?)
}

/// Compacts now and then, never beyond what every collector has, or the truth would have gaps.
async fn compact(
    mut client: Client,
    told: Vec<Arc<std::sync::atomic::AtomicI64>>,
    seed: u64,
    mut stop: watch::Receiver<bool>,
) {
    let mut random = <StdRng as rand::SeedableRng>::seed_from_u64(seed);
    let mut compacted = 0;
    while !*stop.borrow() {
        let pause = Duration::from_millis(random.random_range(COMPACTION_MILLIS));
        tokio::select! {
            () = sleep(pause) => {}
            _ = stop.changed() => return,
        }
        let known = told
            .iter()
            .map(|one| one.load(Ordering::Relaxed))
            .min()
            .unwrap_or(0);
        let revision = known - random.random_range(COMPACTION_DISTANCE);
        if revision > compacted {
            client.call(Request::Compact { revision }).await;
            compacted = revision;
        }
    }
}
