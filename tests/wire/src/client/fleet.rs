//! The fleet of `cargo xtask demo`, by itself: workers, the leading controller and the store's leader
//! are killed in turn, and the fleet must come back each time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mainstay_client::Client;
use mainstay_proto::etcdserverpb::StatusRequest;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::process::{Child, Command};

use super::{Site, put_surely, soon};

const POLL: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
struct Worker {
    job: String,
    pid: Option<u32>,
}

/// Workers by name.
type Fleet = BTreeMap<String, u32>;

fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.with_file_name("mainstay-fleet");
    ensure!(program.exists(), "{} is not built", program.display());
    Ok(program)
}

fn controller(site: &Site<'_>, name: &str) -> Result<Child> {
    let child = Command::new(program()?)
        .args(["controller", "--endpoints", &site.cluster.endpoints()])
        .args(["--name", name])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

fn kill(pid: u32) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.context("no process")?, Signal::KILL)?;
    Ok(())
}

fn lives(pid: u32) -> bool {
    // A process that has ended and was not waited for still has a folder, and no command line.
    let command = std::fs::read(format!("/proc/{pid}/cmdline"));
    command.is_ok_and(|command| !command.is_empty())
}

/// Waits until so many workers do this job, each as a process of its own, and nobody else.
async fn converged(client: &Client, job: &str, count: usize) -> Result<Fleet> {
    let looked = async {
        loop {
            let mut fleet = Fleet::new();
            let found = client.get("fleet/workers/").prefix().await?;
            for kv in &found.kvs {
                let worker: Worker = serde_json::from_slice(&kv.value)?;
                if let Some(pid) = worker.pid.filter(|pid| worker.job == job && lives(*pid)) {
                    fleet.insert(String::from_utf8_lossy(&kv.key).into_owned(), pid);
                }
            }
            if fleet.len() == count && found.kvs.len() == count {
                return anyhow::Ok(fleet);
            }
            tokio::time::sleep(POLL).await;
        }
    };
    soon(&format!("{count} workers that {job}"), looked).await?
}

async fn leader_of(client: &Client) -> Result<String> {
    let looked = async {
        loop {
            if let Some(leader) = client.election("fleet/post").leader().await? {
                return anyhow::Ok(String::from_utf8_lossy(&leader.value).into_owned());
            }
            tokio::time::sleep(POLL).await;
        }
    };
    soon("a controller that leads", looked).await?
}

async fn store_leader(site: &Site<'_>) -> Result<usize> {
    for member in 0..site.cluster.peers.len() {
        let mut maintenance = site.cluster.connect(member).await?.maintenance;
        let status = maintenance.status(StatusRequest {}).await?.into_inner();
        if status
            .header
            .is_some_and(|header| header.member_id == status.leader)
        {
            return Ok(member);
        }
    }
    bail!("no member leads")
}

pub async fn heals(site: &mut Site<'_>) -> Result<()> {
    let client = site.client()?;
    let mut controllers = BTreeMap::new();
    for name in ["one", "two"] {
        controllers.insert(name.to_owned(), controller(site, name)?);
    }
    let kind = "fleet/kinds/blue";
    let began = Instant::now();
    put_surely(&client, kind, r#"{"workers":4,"job":"paint"}"#).await?;
    let fleet = converged(&client, "paint", 4).await?;
    println!("4 workers work after {:.2?}", began.elapsed());

    let (name, pid) = fleet.first_key_value().context("there are four")?;
    kill(*pid)?;
    let replaced = async {
        loop {
            let now = converged(&client, "paint", 4).await?;
            if now.get(name) != Some(pid) {
                return anyhow::Ok(now);
            }
            tokio::time::sleep(POLL).await;
        }
    };
    let began = Instant::now();
    let fleet = soon("another in its place", replaced).await??;
    println!("a worker killed: replaced after {:.2?}", began.elapsed());

    let leading = leader_of(&client).await?;
    let mut killed = controllers
        .remove(&leading)
        .context("one of the two leads")?;
    let began = Instant::now();
    killed.kill().await?;
    put_surely(&client, kind, r#"{"workers":6,"job":"paint"}"#).await?;
    let more = converged(&client, "paint", 6).await?;
    println!(
        "the leading controller killed: 6 workers after {:.2?}",
        began.elapsed()
    );
    ensure!(
        fleet.iter().all(|(name, pid)| more.get(name) == Some(pid)),
        "workers must not be started anew because a controller died"
    );

    let leading = store_leader(site).await?;
    let began = Instant::now();
    site.cluster.peers[leading].kill().await?;
    put_surely(&client, kind, r#"{"workers":3,"job":"sing"}"#).await?;
    let fewer = converged(&client, "sing", 3).await?;
    println!(
        "the store's leader killed: 3 workers of another job after {:.2?}",
        began.elapsed()
    );
    site.cluster.peers[leading].restart()?;
    site.cluster.ready().await?;

    // Whoever deletes the kind ends its workers; no process is left behind.
    while let Err(error) = client.delete(kind).await {
        ensure!(error.may_have_happened(), "{error}");
    }
    converged(&client, "sing", 0).await?;
    let gone = async {
        let mut left: Vec<u32> = fewer.values().chain(more.values()).copied().collect();
        while !left.is_empty() {
            left.retain(|pid| lives(*pid));
            tokio::time::sleep(POLL).await;
        }
    };
    soon("the end of every process", gone).await
}
