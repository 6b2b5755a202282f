//! A log file that is nearly full is put aside under lumberjack's name, and packed if that is asked for.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::alike;
use crate::cluster::{Cluster, Plan};
use crate::options::Options;

const MEGABYTE: usize = 1024 * 1024;
/// Less than any line of a log.
const ROOM: usize = 20;
const PACKED_WAIT: Duration = Duration::from_secs(10);

pub async fn check(options: &Options) -> Result<()> {
    let names = alike(options, rotated).await?;
    let expected = ["x-TTTT-TT-TTTTT-TT-TT.TTT.log.gz", "x.log"].map(|name| name.replace('T', "0"));
    if names != expected {
        bail!("{names:?} where {expected:?} was due");
    }
    Ok(())
}

/// Starts a member whose log has no room for a line; the names of the files in the end, with zeros for
/// digits.
async fn rotated(binary: &Path, label: &'static str) -> Result<Vec<String>> {
    let dir = tempfile::Builder::new()
        .prefix("mainstay-wire-")
        .tempdir()?;
    let log = dir.path().join("x.log");
    fs::write(&log, "y".repeat(MEGABYTE - ROOM))?;
    let plan = Plan::new(binary, label, 1)
        .flag("--enable-log-rotation")
        .flag(format!("--log-outputs={}", log.display()))
        .flag(r#"--log-rotation-config-json={"maxsize": 1, "maxage": 2, "maxbackups": 3, "compress": true}"#);
    let cluster = Cluster::start(&plan).await?;
    let deadline = Instant::now() + PACKED_WAIT;
    let names = loop {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir.path())? {
            names.push(entry?.file_name().into_string().ok().context("a name")?);
        }
        names.sort_unstable();
        if names.len() == 2 && names.iter().any(|name| name.ends_with(".gz")) {
            break names;
        }
        if Instant::now() > deadline {
            bail!("{label} left {names:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    drop(cluster);
    let text = fs::read_to_string(&log)?;
    if text.contains("yyy") || !text.starts_with('{') {
        bail!("{label} began its new file with {:?}", text.get(..80));
    }
    let zeros = |name: String| {
        name.replace(|c: char| c.is_ascii_digit(), "0")
            .replace('T', "0")
    };
    Ok(names.into_iter().map(zeros).collect())
}
