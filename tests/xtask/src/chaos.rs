//! `cargo xtask chaos`: the fault runs, on the build of everyday work.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{peers, server, setup};

/// Builds the server, for `planted` also the one with faults in it, and hands every argument to
/// `mainstay-chaos`.
pub fn run(arguments: &[String]) -> Result<()> {
    setup::check_tools()?;
    let folder = peers::ensure(peers::ETCD)?;
    let mut command = Command::new(server::test_program("mainstay-chaos")?);
    if arguments.first().is_some_and(|name| name == "planted") {
        command.env("MAINSTAY_PLANTED_BIN", server::planted()?);
    }
    let status = command
        .args(arguments)
        .env("MAINSTAY_PEERS", folder)
        .env("MAINSTAY_BIN", server::everyday()?)
        .status()
        .context("cannot run mainstay-chaos")?;
    if !status.success() {
        bail!("the run ended with {status}");
    }
    Ok(())
}
