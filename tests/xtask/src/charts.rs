//! `cargo xtask charts`: the chart, and what is made from it.
//!
//! `tests/charts` does the work; this chore builds what it needs.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{peers, server};

pub fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["test"] => charts("test", peers::CHARTS),
        ["lint"] => charts("lint", &["helm", "promtool"]),
        ["render"] => charts("render", &["helm"]),
        _ => bail!("the arguments are: test, lint or render"),
    }
}

fn charts(command: &str, needs: &[&str]) -> Result<()> {
    let program = server::test_program("mainstay-charts")?;
    let status = Command::new(&program)
        .arg(command)
        .env("MAINSTAY_PEERS", peers::ensure(needs)?)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}
