//! `cargo xtask bench`: the release build, then the paired benchmark of `tests/bench`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use xtask::places;

use crate::{peers, server, setup};

/// Builds both sides and hands every argument to `mainstay-bench`.
///
/// `MAINSTAY_BIN` names a server to measure instead of a fresh release build.
pub fn run(arguments: &[String]) -> Result<()> {
    setup::check_tools()?;
    let folder = peers::ensure(peers::ETCD)?;
    let program = match std::env::var_os("MAINSTAY_BIN") {
        Some(program) => PathBuf::from(program),
        None => server::release()?,
    };
    let status = places::cargo(&["run", "--quiet", "--package", "mainstay-bench", "--"])?
        .args(arguments)
        .env("MAINSTAY_PEERS", folder)
        .env("MAINSTAY_BIN", program)
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the benchmark ended with {status}");
    }
    Ok(())
}
