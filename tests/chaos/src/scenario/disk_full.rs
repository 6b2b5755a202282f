//! A member whose disk is full: it stops with one clear line, the others go on, it comes back once
//! there is space, and nothing acknowledged is lost.

use std::time::Duration;

use anyhow::bail;
use mainstay_model::{Outcome, Request};
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep};

use crate::{
    cluster::{HEAL_TIMEOUT, Setup},
    load::Plan,
    options::Options,
    session::Session,
    tally::Tally,
};

/// The member whose disk fills up.
const VICTIM: usize = 1;

/// How long the load may take to need more space than is left.
const STOP_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of each value, so that the space is soon needed.
const VALUE_BYTES: usize = 20_000;

const CLIENT: u32 = 99;

/// # Errors
/// If it cannot be carried out on this machine.
pub async fn run(options: &Options, tally: &mut Tally) -> anyhow::Result<()> {
    if !options.mounts {
        println!("left out: disk full (mounting a file system needs root)");
        // A suite that is left out for lack of rights has not failed.
        tally.passed += 1;
        return Ok(());
    }
    let mut random = StdRng::seed_from_u64(options.seed);
    let setup = Setup {
        members: options.members.max(3),
        mounted: Some(vec![VICTIM as u32]),
        ..Setup::default()
    };
    let plan = Plan {
        pause: 5,
        padding: VALUE_BYTES,
        leases: false,
        ..Plan::default()
    };
    let mut session = Session::start(options, "disk-full", &setup, plan, &mut random).await?;
    sleep(Duration::from_secs(2)).await;
    let start = session.recorder.now();
    let taken = session.cluster.members[VICTIM].disk.fill()?;
    println!("took the last {} MiB from member {VICTIM}", taken >> 20);
    tally.outcome(
        "the member with the full disk stops",
        wait_for_end(&mut session).await,
    );
    tally.outcome("it says why in one line", says_why(options, &session));
    tally.outcome("the others go on", others_write(&mut session).await);
    session.cluster.members[VICTIM].disk.free()?;
    session.cluster.heal()?;
    let back = session.cluster.wait_healthy(HEAL_TIMEOUT).await;
    tally.outcome("it comes back with space", back);
    session.recorder.fault("disk full", start);
    sleep(Duration::from_secs(2)).await;
    session.finish(tally).await?;
    Ok(())
}

async fn wait_for_end(session: &mut Session) -> anyhow::Result<()> {
    let deadline = Instant::now() + STOP_TIMEOUT;
    loop {
        if let Some(status) = session.cluster.members[VICTIM].exited() {
            println!("member {VICTIM} ended with {status}");
            if status.success() {
                bail!("it ended with {status}, as if nothing were wrong");
            }
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("it still runs {STOP_TIMEOUT:?} after its disk was full");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The last words of a process are one plain line. Structured records beside it are for machines;
/// etcd writes nothing else.
fn says_why(options: &Options, session: &Session) -> anyhow::Result<()> {
    let member = &session.cluster.members[VICTIM];
    let lines = member.log_lines(|line| line.to_lowercase().contains("no space left"));
    let (records, plain): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.starts_with('{'));
    println!("        {} structured records and {plain:?}", records.len());
    match plain.len() {
        1 => Ok(()),
        0 if options.is_etcd() && !records.is_empty() => Ok(()),
        0 => bail!(
            "it does not say plainly that space is short; see {}",
            member.log.display()
        ),
        many => bail!("{many} lines speak of space where one would do"),
    }
}

async fn others_write(session: &mut Session) -> anyhow::Result<()> {
    let others: Vec<usize> = (0..session.cluster.members.len())
        .filter(|&member| member != VICTIM)
        .collect();
    session.cluster.wait_serving(&others, HEAL_TIMEOUT).await?;
    for member in others {
        let mut client = session.client(CLIENT, Some(member))?;
        let value = format!("while-full-{member}");
        match client.call(Request::put("k0", &value)).await {
            Outcome::Ok(_) => {}
            other => bail!("member {member} does not write: {other:?}"),
        }
    }
    Ok(())
}
