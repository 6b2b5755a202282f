//! `cargo xtask bench`: the release build, then the paired benchmark of `tests/bench`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use xtask::places;

use crate::{peers, server, setup};

/// Builds both sides, or with `client` first our own client library, and hands every argument to `mainstay-bench`.
///
/// `MAINSTAY_BIN` names a server to measure instead of a fresh release build.
pub fn run(arguments: &[String]) -> Result<()> {
    setup::check_tools()?;
    let folder = peers::ensure(peers::ETCD)?;
    let program = match std::env::var_os("MAINSTAY_BIN") {
        Some(program) => PathBuf::from(program),
        None => server::release()?,
    };
    // Of the library the optimised build counts; elsewhere this side only starts others.
    let profile = match arguments.first().is_some_and(|first| first == "client") {
        true => "release",
        false => "dev",
    };
    let package = ["--package", "mainstay-bench", "--profile", profile, "--"];
    let status = places::cargo(&[&["run", "--quiet"][..], &package].concat())?
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
