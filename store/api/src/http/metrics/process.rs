//! The process as the kernel sees it, under the names Prometheus' client libraries use.

use std::fs;

use crate::metrics::Text;

/// Clock ticks per second that Linux shows to user space, on every architecture.
const TICKS: f64 = 100.0;

/// Leaves out what the kernel does not tell (another system, a hidden /proc).
pub fn write(text: &mut Text) {
    let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    if let Some(stat) = Stat::parse(&read("stat")) {
        text.counter(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
        )
        .value(stat.cpu_ticks as f64 / TICKS);
        text.gauge(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
        )
        .value(stat.virtual_bytes);
        if let Some(boot) = boot_seconds(&fs::read_to_string("/proc/stat").unwrap_or_default()) {
            text.gauge(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
            )
            .value(boot as f64 + stat.start_ticks as f64 / TICKS);
        }
    }
    if let Some(bytes) = resident_bytes(&read("status")) {
        text.gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
        )
        .value(bytes);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let open = open.count();
        text.gauge("process_open_fds", "Number of open file descriptors.")
            .value(open);
        text.gauge("os_fd_used", "The number of used file descriptors.")
            .value(open);
    }
    if let Some(limit) = fd_limit(&read("limits")) {
        text.gauge(
            "process_max_fds",
            "Maximum number of open file descriptors.",
        )
        .value(limit);
        text.gauge("os_fd_limit", "The file descriptor limit.")
            .value(limit);
    }
}

/// The memory the process has, in bytes.
pub fn resident_bytes_of_process() -> Option<u64> {
    resident_bytes(&fs::read_to_string("/proc/self/status").ok()?)
}

/// How many files the process may have open.
pub fn fd_limit_of_process() -> Option<u64> {
    fd_limit(&fs::read_to_string("/proc/self/limits").ok()?)
}

struct Stat {
    cpu_ticks: u64,
    start_ticks: u64,
    virtual_bytes: u64,
}

impl Stat {
    /// The name in parentheses may hold anything, so counting starts behind it (proc(5)).
    fn parse(stat: &str) -> Option<Stat> {
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Stat {
            cpu_ticks: number(11)?.saturating_add(number(12)?),
            start_ticks: number(19)?,
            virtual_bytes: number(20)?,
        })
    }
}

fn boot_seconds(stat: &str) -> Option<u64> {
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The soft limit; absent when there is none.
fn fd_limit(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 5 0 900 8192 2 1";
        let parsed = Stat::parse(stat).unwrap();
        assert_eq!((parsed.cpu_ticks, parsed.start_ticks), (200, 900));
        assert_eq!(parsed.virtual_bytes, 8192);
        assert!(Stat::parse("7 (a").is_none());
    }

    #[test]
    fn lines_of_proc() {
        assert_eq!(boot_seconds("cpu 1\nbtime 1700\n"), Some(1700));
        assert_eq!(
            resident_bytes("VmSize: 1 kB\nVmRSS:\t  12 kB\n"),
            Some(12 * 1024)
        );
        assert_eq!(
            fd_limit("Max open files   1024   4096   files\n"),
            Some(1024)
        );
        assert_eq!(
            fd_limit("Max open files   unlimited unlimited files\n"),
            None
        );
    }

    #[test]
    fn this_process_has_its_metrics() {
        let mut text = Text::default();
        write(&mut text);
        let page = text.finish();
        for name in [
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "os_fd_used ",
        ] {
            assert!(
                page.lines().any(|line| line.starts_with(name)),
                "{name} in {page}"
            );
        }
    }
}
