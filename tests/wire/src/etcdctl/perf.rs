use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::Side;
use crate::cluster::Plan;
use crate::options::Options;

/// The check writes for 60 s and then cleans up.
const CHECK_WAIT: Duration = Duration::from_secs(150);

/// `check perf` at its smallest load must pass on the server under test. It is a verdict on one
/// server, so there is nothing to compare with.
pub async fn run(options: &Options, etcdctl: &Path) -> Result<Option<Instant>> {
    if !options.long {
        return Ok(None);
    }
    let since = Instant::now();
    let side = Side::start(&Plan::new(options.subject(), "subject", 3)).await?;
    let mut command = Command::new(etcdctl);
    command
        .args(["check", "perf", "--load=s"])
        .kill_on_drop(true);
    command.arg(format!("--endpoints={}", side.cluster.endpoints()));
    let done = tokio::time::timeout(CHECK_WAIT, command.output()).await;
    let done = done.context("check perf does not end")??;
    let out = String::from_utf8_lossy(&done.stdout);
    let verdicts: Vec<&str> = out
        .lines()
        .filter(|line| line.contains("PASS") || line.contains("FAIL"))
        .collect();
    println!("{}", verdicts.join("\n"));
    if !done.status.success() {
        bail!("{}: {}", done.status, verdicts.join("; "));
    }
    Ok(Some(since))
}
