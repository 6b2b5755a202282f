//! `cargo xtask chaos`: the fault runs, on the build of everyday work.

use anyhow::{Context, Result, bail};
use xtask::places;

use crate::{peers, up};

/// Builds the server and hands every argument to `mainstay-chaos`.
pub fn run(arguments: &[String]) -> Result<()> {
    let folder = peers::ensure(peers::ETCD)?;
    let program = up::build_server()?;
    let status = places::cargo(&["run", "--quiet", "--package", "mainstay-chaos", "--"])?
        .args(arguments)
        .env("MAINSTAY_PEERS", folder)
        .env("MAINSTAY_BIN", program)
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the run ended with {status}");
    }
    Ok(())
}
