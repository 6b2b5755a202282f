//! `cargo xtask cluster`: a real Kubernetes node on this machine, with Mainstay's images.
//!
//! `tests/cluster` brings it up; this chore builds and installs what that needs.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use xtask::{interrupt, places};

use crate::setup::{self, Tool, answers};
use crate::{image, peers, server};

/// What a node needs beside Go's programs. `setup` does not ask for them: most work goes without.
const TOOLS: &[Tool] = &[
    Tool {
        name: "containerd",
        package: "containerd",
        present: || answers("containerd", &["--version"]).is_some(),
    },
    Tool {
        name: "runc",
        package: "runc",
        present: || answers("runc", &["--version"]).is_some(),
    },
    Tool {
        name: "ip",
        package: "iproute2",
        present: || answers("ip", &["-Version"]).is_some(),
    },
    Tool {
        name: "iptables",
        package: "iptables",
        present: || answers("iptables", &["--version"]).is_some(),
    },
    Tool {
        name: "CNI plugins",
        package: "containernetworking-plugins",
        present: || Path::new("/usr/lib/cni/bridge").exists(),
    },
    Tool {
        name: "busybox",
        package: "busybox-static",
        present: || answers("busybox", &["--list"]).is_some(),
    },
];

const USAGE: &str = "up [--bare] [--datastore etcd|mainstay], down, load IMAGE, test, or test operator [--core|--access|--backups|--long]";

pub fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if !setup::is_root() {
        // Not a failure of the node but of the call, hence the code of a wrong call.
        eprintln!("cluster: a node needs namespaces and mounts, so only root can run one");
        std::process::exit(2);
    }
    match words.as_slice() {
        ["up", rest @ ..] => up(rest),
        ["down"] => cluster(&["down".into()], false),
        ["load", image] => load(image),
        ["test", rest @ ..] => test(rest),
        _ => bail!("the arguments are: {USAGE}"),
    }
}

/// Brings the node up with our images. It stays until `down`.
fn up(flags: &[&str]) -> Result<()> {
    setup::install_missing(TOOLS.iter().collect())?;
    let mut arguments = vec!["up".to_owned()];
    arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
    for archive in image::ensure(&[])? {
        arguments.push(archive.display().to_string());
    }
    cluster(&arguments, true)
}

/// Gives the node that is up an image: one of ours by its name, or any archive.
fn load(image: &str) -> Result<()> {
    let archive = if Path::new(image).exists() {
        std::path::absolute(image)?
    } else {
        image::ensure(&[image])?.pop().context("no such image")?
    };
    cluster(&["load".into(), archive.display().to_string()], false)
}

/// A suite on a node of its own: that of the node itself, or with `operator` that of the operator.
fn test(words: &[&str]) -> Result<()> {
    setup::install_missing(TOOLS.iter().collect())?;
    let (suite, flags) = match words {
        ["operator", flags @ ..] => ("operator", flags),
        flags => ("node", flags),
    };
    let mut arguments = vec![suite.to_owned()];
    arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let images: &[&str] = match suite {
        "node" => &["mainstay"],
        _ => &[],
    };
    for archive in image::ensure(images)? {
        arguments.push(archive.display().to_string());
    }
    cluster(&arguments, true)
}

/// Runs `mainstay-cluster`; for a node that is to come up also builds what it consists of.
fn cluster(arguments: &[String], comes_up: bool) -> Result<()> {
    server::test_program("mainstay-pause")?;
    let program = server::test_program("mainstay-cluster")?;
    let mut command = Command::new(&program);
    command.args(arguments).stdin(Stdio::null());
    command.env("MAINSTAY_CACHE", places::cache()?);
    if comes_up {
        let has = |word: &str| arguments.iter().any(|argument| argument == word);
        // The store that the suite of the operator backs up to.
        let store = has("operator") && !has("--core");
        let store = if store { peers::BACKUP } else { &[] };
        let needs = [peers::NODE, store].concat();
        command.env("MAINSTAY_PEERS", peers::ensure(&needs)?);
        command.env("MAINSTAY_BIN", server::everyday()?);
    }
    // Ctrl-C reaches the program too; it clears up, and this one waits for it.
    interrupt::listen()?;
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}
