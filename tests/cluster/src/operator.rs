//! The operator end to end: installed by helm under its own account, it makes clusters on the real
//! node, changes them and mends them, while clients write and read.
//!
//! What clients saw is judged by the checkers of `tests/model`, as in the chaos suite.

mod access;
mod backups;
mod cluster;
mod content;
mod etcdctl;
mod install;
mod load;
mod members;
mod store;
mod stories;
mod times;

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

use crate::image;
use crate::node::{Node, Options};
use xtask::tally::Tally;

use cluster::Cluster;
use install::Release;
use times::Times;

/// Whose image the members are rolled to. It holds the same program: what is tried is the roll.
const NEXT_VERSION: &str = "0.1.1";

/// What the suite needs beside a node.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The server, of which an image of the next version is made.
    pub server: PathBuf,
    /// The folder of the checkout that holds `charts/`.
    pub checkout: PathBuf,
    pub helm: PathBuf,
    /// An S3-compatible store, of use only where all of the suite is run.
    pub store: PathBuf,
}

/// How much of it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Create, scale, leader killed, roll, delete: what is quickly known.
    Core,
    /// What is about users, roles and keys that are declared, on a cluster of one member that asks
    /// for users.
    Access,
    /// What is about backups, on a small cluster.
    Backups,
    /// What every change of the project must pass.
    Usual,
    /// Also what takes its time: more measurements, and every sample.
    Long,
}

/// Runs it on a node of its own, which is taken down afterwards; true if every case passed.
pub fn run(options: &Options, programs: &Programs, part: Part) -> Result<bool> {
    let mut options = options.clone();
    let next = next_archive(programs)?;
    options.images.push(next.clone());
    let store = match part {
        Part::Core | Part::Access => None,
        _ => Some(store::archive(&programs.store)?),
    };
    options.images.extend(store.clone());
    let mut tally = Tally::default();
    let mut node = None;
    let up = tally.case("node up", || {
        node = Some(Node::up(&options)?);
        Ok(())
    });
    if let (true, Some(node)) = (up, &node) {
        let told = on(&mut tally, node, programs, part);
        tally.case("nothing of the node has ended", || told.and(node.check()));
    }
    if let Some(node) = node {
        tally.case("node down", || node.down());
    }
    for archive in std::iter::once(next).chain(store) {
        std::fs::remove_file(archive).context("cannot remove an image of the suite")?;
    }
    Ok(tally.close())
}

/// Installs the operator on a node that is up, declares the smallest sample and waits until it is
/// ready; prints what to try.
pub fn present(node: &Node, programs: &Programs) -> Result<()> {
    println!("operator: installing the chart");
    Release::new(node, programs).install()?;
    let sample = programs.checkout.join("deploy/samples/minimal.yaml");
    println!("operator: applying {}", sample.display());
    let sample = sample.to_str().context("the checkout's path is no text")?;
    node.kubectl
        .run(&["apply", "--server-side", "-f", sample])?;
    let cluster = Cluster::new(&node.kubectl, "db");
    let took = cluster.until_ready(3)?;
    println!("operator: ready after {:.0} s\n", took.as_secs_f64());
    println!("{}", node.kubectl.run(&["get", "msc"])?);
    Ok(())
}

fn on(tally: &mut Tally, node: &Node, programs: &Programs, part: Part) -> Result<()> {
    let release = Release::new(node, programs);
    let mut times = Times::default();
    // Every pod of the operator and of its clusters keeps the strictest rules.
    let spaces = [cluster::NAMESPACE, install::NAMESPACE].map(stories::restricted);
    node.kubectl.apply(&spaces)?;
    if !tally.case("helm install", || release.install()) {
        return Ok(());
    }
    if part == Part::Access || part >= Part::Usual {
        access::tell(tally, &node.kubectl, &mut times);
    }
    let cluster = Cluster::new(&node.kubectl, "db");
    let stands = match part {
        Part::Access => false,
        Part::Backups => tally.case("create one member", || {
            cluster.apply(1, &json!({}))?;
            cluster.until_ready(1).map(drop)
        }),
        _ => stories::core(tally, &cluster, &mut times, part),
    };
    if stands && part >= Part::Usual {
        stories::further(tally, &cluster, &release, &mut times, part);
        stories::others(tally, &cluster, &programs.checkout, &mut times, part);
    }
    if stands && part >= Part::Backups {
        let volumes = node.folder.volumes();
        let scene = backups::Scene {
            cluster: &cluster,
            volumes,
        };
        backups::tell(tally, &scene, &mut times);
    }
    if part != Part::Access {
        tally.case("delete", || cluster.delete());
    }
    tally.case("helm uninstall leaves the definitions", || {
        release.uninstall()
    });
    times.print();
    Ok(())
}

fn next_archive(programs: &Programs) -> Result<PathBuf> {
    let name = format!("mainstay-next-{}.tar", std::process::id());
    let path = std::env::temp_dir().join(name);
    image::program("mainstay", NEXT_VERSION, &programs.server).write(&path)?;
    Ok(path)
}
