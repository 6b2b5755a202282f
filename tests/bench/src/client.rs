//! Runs etcd's `benchmark` and reads its summary.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::process;

/// No single load takes longer on a machine worth measuring on.
const LIMIT: Duration = Duration::from_secs(600);

/// The summary that `benchmark` prints, times in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// From the first request to the last answer.
    pub total: f64,
    pub per_second: f64,
    pub p50: f64,
    /// `benchmark` leaves it out when there were too few requests to tell.
    pub p99: Option<f64>,
}

/// Both of etcd's client programs, pointed at one cluster.
pub struct Client {
    pub peers: PathBuf,
    pub endpoints: Vec<String>,
    /// What both programs need besides, where the members speak TLS.
    pub flags: Vec<String>,
    /// Holds the output of the load that runs.
    pub folder: PathBuf,
}

impl Client {
    /// Runs one load over `connections` connections shared by `clients` clients.
    pub fn load(&self, connections: u32, clients: u32, arguments: &[&str]) -> Result<Summary> {
        let output = self.folder.join("benchmark.out");
        let errors = self.folder.join("benchmark.err");
        let file = fs::File::create(&output).context("cannot write the output of benchmark")?;
        let mut child = Command::new(self.peers.join("benchmark"))
            .args(arguments)
            .args(["--precise", "--endpoints", &self.endpoints.join(",")])
            .args(&self.flags)
            .args([
                "--conns",
                &connections.to_string(),
                "--clients",
                &clients.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(fs::File::create(&errors)?)
            .spawn()
            .context("cannot run benchmark")?;
        let mut status = None;
        let waited = process::wait_until(&arguments.join(" "), LIMIT, || {
            status = child.try_wait()?;
            Ok(status.is_some())
        });
        if let Err(error) = waited {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        let text = read(&output)?;
        if !status.is_some_and(|status| status.success()) || text.contains("Error distribution") {
            let errors = read(&errors)?;
            let end: Vec<&str> = errors.lines().rev().take(5).collect();
            bail!(
                "benchmark {} failed:\n{text}\n{}",
                arguments.join(" "),
                end.join("\n")
            );
        }
        parse(&text).with_context(|| format!("no summary in the output of benchmark:\n{text}"))
    }

    /// Puts `prefix` followed by 8 digits for `count` keys, in transactions of 100, with etcdctl:
    /// `benchmark` makes no keys that have a common prefix and an order.
    pub fn put_numbered(&self, prefix: &str, count: usize, value: &str) -> Result<()> {
        const OPERATIONS: usize = 100;
        for first in (0..count).step_by(OPERATIONS) {
            let mut text = String::from("\n");
            for number in first..count.min(first + OPERATIONS) {
                text.push_str(&format!("put {prefix}{number:08} {value}\n"));
            }
            text.push_str("\n\n");
            self.etcdctl(&["txn"], &text)?;
        }
        Ok(())
    }

    fn etcdctl(&self, arguments: &[&str], input: &str) -> Result<()> {
        let mut child = Command::new(self.peers.join("etcdctl"))
            .args(["--endpoints", &self.endpoints.join(",")])
            .args(&self.flags)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run etcdctl")?;
        // Taken, so that it is closed here and etcdctl sees the end of its input.
        let mut stdin = child.stdin.take().context("etcdctl has no input")?;
        stdin.write_all(input.as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!(
                "etcdctl failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads the last summary: `watch` prints one for the making of its watches first.
fn parse(text: &str) -> Option<Summary> {
    let summary = text
        .rsplit_once("Summary:")
        .or_else(|| text.rsplit_once("summary:"))?
        .1;
    let after = |label: &str| {
        let (_, rest) = summary.split_once(label)?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    };
    Some(Summary {
        total: after("Total:")?,
        per_second: after("Requests/sec:")?,
        p50: after("50% in")?,
        p99: after("\n  99% in"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Watch creation summary:\n\nSummary:\n  Total:\t0.0191 secs.\n  \
        Requests/sec:\t5239.07\n  50% in 0.1 secs.\n  99% in 0.2 secs.\n\
        Watch events received summary:\n\nSummary:\n  Total:\t0.335 secs.\n  Slowest:\t0.01 secs.\n  \
        Requests/sec:\t29852.7866\n\nLatency distribution:\n  50% in 0.0002 secs.\n  \
        99% in 1.5e-05 secs.\n  99.9% in 0.9 secs.\n";

    #[test]
    fn the_last_summary_counts() {
        let summary = parse(OUTPUT).unwrap();
        assert_eq!(summary.total, 0.335);
        assert_eq!(summary.per_second, 29852.7866);
        assert_eq!((summary.p50, summary.p99), (0.0002, Some(0.000015)));
    }

    #[test]
    fn no_summary_is_no_result() {
        assert_eq!(parse("dial error"), None);
    }
}
