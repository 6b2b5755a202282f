//! What the kernel says about a process, and how to ask it to end.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Ticks per second of the times in `/proc/<pid>/stat`: fixed by the kernel's user interface.
const TICKS_PER_SECOND: u64 = 100;
/// How often a waiting loop looks again.
pub const POLL: Duration = Duration::from_millis(20);

/// User and system time of all threads of a process since its start, in steps of 10 ms.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    parse_cpu_time(&stat).with_context(|| format!("unexpected /proc/{pid}/stat: {stat}"))
}

/// The name in parentheses may hold spaces, so fields are counted after the last one: user and
/// system time are fields 14 and 15 of proc(5).
fn parse_cpu_time(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks = user.checked_add(system)?;
    Some(Duration::from_millis(
        ticks.checked_mul(1000)? / TICKS_PER_SECOND,
    ))
}

/// Resident memory of a process in bytes.
pub fn resident(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS")
}

/// The most of it that a process has had.
pub fn peak_resident(pid: u32) -> Result<u64> {
    memory(pid, "VmHWM")
}

fn memory(pid: u32, row: &str) -> Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix(row));
    let text = line.and_then(|rest| rest.strip_prefix(':')?.trim().strip_suffix(" kB"));
    let kib = text.and_then(|text| text.trim().parse::<u64>().ok());
    Ok(kib.with_context(|| format!("no {row} in /proc/{pid}/status"))? * 1024)
}

/// Sends SIGTERM. A process that is already gone is no error.
pub fn terminate(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Sends SIGKILL. A process that is already gone is no error.
pub fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Kills a whole process group whose leader is `pid`.
pub fn kill_group(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

/// Calls `ready` until it says so; an error when `limit` passes or the user wants to stop.
pub fn wait_until(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    wait_to_stop(what, limit, || {
        if crate::interrupt::asked() {
            bail!("{what}: interrupted");
        }
        ready()
    })
}

/// The same for whatever must be waited for also when the user wants to stop.
pub fn wait_to_stop(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let begin = Instant::now();
    while !ready()? {
        if begin.elapsed() > limit {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        std::thread::sleep(POLL);
    }
    Ok(begin.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_survives_a_name_with_parentheses() {
        let stat = "12 (a) b) (c) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(parse_cpu_time(stat), Some(Duration::from_millis(3000)));
        assert_eq!(parse_cpu_time("12 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident(std::process::id()).unwrap() > 100_000);
    }

    #[test]
    fn waiting_has_an_end() {
        let error = wait_until("never", Duration::from_millis(50), || Ok(false)).unwrap_err();
        assert!(error.to_string().contains("never: not within"));
    }
}
