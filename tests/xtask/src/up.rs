//! `cargo xtask up`: a cluster on loopback to try, with its state on one screen.

use std::fs;
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::cluster::{Cluster, Plan};
use xtask::status::{self, Status};
use xtask::{interrupt, places, process};

use crate::{peers, server, setup};

/// How long the members may take from their start to serving.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How often the table is drawn anew on a terminal.
const REFRESH: Duration = Duration::from_secs(5);

/// What the arguments ask for.
struct Wish {
    members: usize,
    reset: bool,
    /// Client port of the first member, if etcd's usual ones are taken.
    port: Option<u16>,
}

pub fn run(arguments: &[String]) -> Result<()> {
    let wish = parse(arguments)?;
    interrupt::listen()?;
    setup::check_tools()?;
    let etcdctl = peers::ensure(peers::ETCD)?.join("etcdctl");
    let program = server::everyday()?;

    let folder = places::cache()?.join("up").join(folder_name(&wish));
    let plan = Plan {
        program,
        folder: folder.clone(),
        ports: ports(&wish)?,
        token: format!("mainstay-up-{}", wish.members),
        secure: false,
        flags: Vec::new(),
    };
    plan.check_ports()?;
    if wish.reset && folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot wipe {}", folder.display()))?;
    }
    let kept = folder.join("m1").exists();
    let mut cluster = Cluster::start(&plan)?;
    let took = cluster.wait_until_serving(START_LIMIT)?;
    let story = if kept {
        "with the data of the last time"
    } else {
        "with empty data"
    };
    println!(
        "\nserving after {:.1} s {story}; members: {}",
        took.as_secs_f64(),
        wish.members
    );
    println!("data and logs: {}\n", folder.display());
    print_lines_to_try(&etcdctl, &cluster.endpoints());
    let result = attend(&etcdctl, &mut cluster);
    stop(&etcdctl, &mut cluster)?;
    result
}

fn parse(arguments: &[String]) -> Result<Wish> {
    let mut wish = Wish {
        members: 3,
        reset: false,
        port: None,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--reset" => wish.reset = true,
            "--members" => {
                let count = rest.next().and_then(|text| text.parse().ok());
                wish.members = match count {
                    Some(count @ (1 | 3 | 5)) => count,
                    _ => bail!("--members takes 1, 3 or 5"),
                };
            }
            "--port" => match rest.next().and_then(|text| text.parse().ok()) {
                Some(port) => wish.port = Some(port),
                None => bail!("--port takes a port number"),
            },
            other => bail!("unknown argument '{other}'; there are --members, --reset, --port"),
        }
    }
    Ok(wish)
}

/// Members know each other by their ports for as long as their data lives, so each set of ports has
/// data of its own.
fn folder_name(wish: &Wish) -> String {
    match wish.port {
        None => wish.members.to_string(),
        Some(port) => format!("{}-at-{port}", wish.members),
    }
}

/// etcd's usual ports, or pairs that begin with the port asked for and lie ten apart.
fn ports(wish: &Wish) -> Result<Vec<(u16, u16)>> {
    let Some(first) = wish.port else {
        return Ok(Plan::default_ports(wish.members));
    };
    let pair = |index: u16| {
        let client = first.checked_add(index.checked_mul(10)?)?;
        Some((client, client.checked_add(1)?))
    };
    let members = u16::try_from(wish.members)?;
    (0..members)
        .map(|index| pair(index).context("--port is too high"))
        .collect()
}

fn print_lines_to_try(etcdctl: &Path, endpoints: &[String]) {
    let tool = format!("{} --endpoints {}", etcdctl.display(), endpoints.join(","));
    println!("to try:");
    for line in [
        "put greeting hello",
        "get greeting",
        "watch --prefix '' --rev 1",
        "lease grant 60",
        "endpoint status --write-out table",
        "member list --write-out table",
        "check perf",
    ] {
        println!("  {tool} {line}");
    }
    println!();
}

/// Shows the table until a signal comes. On a terminal it is drawn anew in place
/// every few seconds and below on Enter; elsewhere it is printed once.
fn attend(etcdctl: &Path, cluster: &mut Cluster) -> Result<()> {
    let endpoints = cluster.endpoints();
    let terminal = std::io::stdout().is_terminal();
    let keys = terminal.then(lines_typed);
    let mut drawn: Option<Instant> = None;
    while !interrupt::asked() {
        if bury(cluster)? {
            drawn = None;
        }
        let pressed = keys.as_ref().is_some_and(|keys| keys.try_recv().is_ok());
        let due = drawn.is_none_or(|then| terminal && then.elapsed() > REFRESH);
        if pressed || due {
            let members = status::ask(etcdctl, &endpoints)?;
            if drawn.is_some() && !pressed {
                // Up over the table and its closing line, then clear to the end of the screen.
                print!("\x1b[{}A\x1b[J", endpoints.len() + 2);
            }
            println!("{}", status::table(&endpoints, &members));
            println!(
                "Ctrl-C stops the members{}",
                if terminal { ", Enter asks again" } else { "" }
            );
            drawn = Some(Instant::now());
        }
        std::thread::sleep(process::POLL);
    }
    Ok(())
}

/// Says so when members have ended by themselves, which is worth a look but leaves the others to
/// try; an error once none is left. True if there was one.
fn bury(cluster: &mut Cluster) -> Result<bool> {
    let before = cluster.members.len();
    let mut left = Vec::new();
    for mut member in cluster.members.drain(..) {
        match member.ended()? {
            Some(status) => println!("\n{}\n", member.obituary(status)),
            None => left.push(member),
        }
    }
    cluster.members = left;
    if cluster.members.is_empty() {
        bail!("no member is left");
    }
    Ok(cluster.members.len() < before)
}

/// One message a line typed. The thread ends with the program.
fn lines_typed() -> Receiver<()> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.is_err() || sender.send(()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Followers first, so that the leader has nobody to hand over to only at the very end.
fn stop(etcdctl: &Path, cluster: &mut Cluster) -> Result<()> {
    let members = status::ask(etcdctl, &cluster.endpoints()).unwrap_or_default();
    let is_leader = |member: &&Status| member.member != 0 && member.leader == member.member;
    let leader = members
        .iter()
        .find(is_leader)
        .map(|member| member.endpoint.as_str());
    println!("\nstopping, the leader last");
    cluster.stop(leader)?;
    println!("stopped; the data stays for the next `cargo xtask up`");
    Ok(())
}
