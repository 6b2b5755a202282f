//! Input that no client sends: every member must answer with an error or close the connection,
//! must not panic, must serve afterwards, and must start again from what it then holds.

mod cases;
mod raw;

use std::time::Duration;

use anyhow::bail;
use mainstay_model::{Outcome, Request};
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    call,
    cluster::{Cluster, HEAL_TIMEOUT, Setup},
    member::Member,
    options::Options,
    tally::Tally,
};

/// Connections of random bytes to each port.
const CONNECTIONS: u32 = 60;

/// Random messages to each method.
const MESSAGES: u32 = 12;

const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// # Errors
/// If it cannot be carried out on this machine.
pub async fn run(options: &Options, tally: &mut Tally) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(options.seed);
    let setup = Setup {
        members: options.members,
        mounted: Some(Vec::new()),
        ..Setup::default()
    };
    let directory = options.directory.join("malformed");
    std::fs::create_dir_all(&directory)?;
    let mut cluster = Cluster::start(options, &setup, &directory, &mut random).await?;

    for member in 0..cluster.members.len() {
        let (client, peer) = (
            &cluster.members[member].client_port,
            &cluster.members[member].peer_port,
        );
        for port in [*client, *peer] {
            raw::random_bytes(port, CONNECTIONS, &mut random).await;
        }
    }
    tally.outcome(
        "random bytes on client and peer ports",
        healthy(&mut cluster).await,
    );

    for connection in cluster.connect()? {
        raw::random_messages(&connection, options.is_etcd(), MESSAGES, &mut random).await;
    }
    tally.outcome(
        "random messages to every method",
        healthy(&mut cluster).await,
    );

    let chosen = options.seed as usize % cluster.members.len();
    let connection = cluster.connect()?.swap_remove(chosen);
    let apart = cluster.connect()?.swap_remove(chosen);
    let wrong = cases::run(&connection, &apart, options.is_etcd()).await;
    tally.check("limits and extreme numbers get etcd's error", &wrong);
    tally.outcome("members serve after them", healthy(&mut cluster).await);

    for member in &mut cluster.members {
        member.kill()?;
    }
    cluster.heal()?;
    tally.outcome(
        "members start again after them",
        healthy(&mut cluster).await,
    );
    let panics: Vec<String> = cluster.members.iter().flat_map(Member::panics).collect();
    tally.check("no member panicked", &panics);
    if tally.failed > 0 {
        println!("logs are in {}", directory.display());
    }
    Ok(())
}

/// Every member still runs, reads, and takes a write that the others then read.
async fn healthy(cluster: &mut Cluster) -> anyhow::Result<()> {
    cluster.wait_healthy(HEAL_TIMEOUT).await?;
    for member in 0..cluster.members.len() {
        let key = format!("healthy-{member}");
        let put = Request::put(&key, "yes");
        let put = call::execute(cluster.probe(member), &put, CALL_TIMEOUT).await;
        if !matches!(put, Outcome::Ok(_)) {
            bail!("member {member} does not write: {put:?}");
        }
        for other in 0..cluster.members.len() {
            let get = call::execute(cluster.probe(other), &Request::get(&key), CALL_TIMEOUT).await;
            if !matches!(get, Outcome::Ok(_)) {
                bail!("member {other} does not read: {get:?}");
            }
        }
    }
    Ok(())
}
