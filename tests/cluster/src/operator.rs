//! The operator end to end: installed by helm under its own account, it makes clusters on the real
//! node, changes them and mends them, while clients write and read.
//!
//! What clients saw is judged by the checkers of `tests/model`, as in the chaos suite.

mod cluster;
mod install;
mod load;
mod stories;
mod times;

use std::path::PathBuf;

use anyhow::{Context, Result};

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
}

/// How much of it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Create, scale, leader killed, roll, delete: what every change of the project must pass.
    Core,
    All,
}

/// Runs it on a node of its own, which is taken down afterwards; true if every case passed.
pub fn run(options: &Options, programs: &Programs, part: Part) -> Result<bool> {
    let mut options = options.clone();
    let next = next_archive(programs)?;
    options.images.push(next.clone());
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
    std::fs::remove_file(&next).context("cannot remove the image of the next version")?;
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
    let cluster = Cluster::new(node.kubectl.clone(), "db");
    let took = cluster.until_ready(3)?;
    println!("operator: ready after {:.0} s\n", took.as_secs_f64());
    println!("{}", node.kubectl.run(&["get", "msc"])?);
    Ok(())
}

fn on(tally: &mut Tally, node: &Node, programs: &Programs, part: Part) -> Result<()> {
    let release = Release::new(node, programs);
    let mut times = Times::default();
    if !tally.case("helm install", || release.install()) {
        return Ok(());
    }
    let cluster = Cluster::new(node.kubectl.clone(), "db");
    stories::core(tally, &cluster, &mut times);
    if part == Part::All {
        stories::further(tally, &cluster, &release, &mut times);
    }
    tally.case("delete", || cluster.delete());
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
