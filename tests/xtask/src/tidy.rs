//! `cargo xtask tidy`: the rules of `tests/tidy` as tests, then its report of outsized code.

use anyhow::{Context, Result, bail};
use xtask::places;

pub fn run(_arguments: &[String]) -> Result<()> {
    for arguments in [
        ["test", "--quiet", "--package", "mainstay-tidy"],
        ["run", "--quiet", "--package", "mainstay-tidy"],
    ] {
        let status = places::cargo(&arguments)?
            .status()
            .context("cannot run cargo")?;
        if !status.success() {
            bail!("cargo {} ended with {status}", arguments.join(" "));
        }
    }
    Ok(())
}
