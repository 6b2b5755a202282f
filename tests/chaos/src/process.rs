//! What the kernel knows of a process.

use std::{fs, path::Path, time::Duration};

use anyhow::Context;

/// Linux tells user space times in hundredths of a second on every architecture.
const MILLIS_PER_TICK: u64 = 10;

/// Bytes in memory now.
///
/// # Errors
/// If the process is gone.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.context("no VmRSS")?.parse::<u64>()? << 10)
}

/// Processor time of all threads since the start.
///
/// # Errors
/// If the process is gone.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold spaces; utime and stime are fields 14 and 15.
    let rest = stat.rsplit(") ").next().context("no stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let mut ticks = 0_u64;
    for field in [11, 12] {
        ticks += fields.get(field).context("short stat")?.parse::<u64>()?;
    }
    Ok(Duration::from_millis(ticks * MILLIS_PER_TICK))
}

/// Bytes of all files below a directory; 0 if it is gone.
#[must_use]
pub fn directory_bytes(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => directory_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
