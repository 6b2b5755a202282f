//! How the machine looks: what a node must leave as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{NAME, cgroup, tools, traces};

/// Lines that say what there is; counters and times are left out.
#[derive(Debug)]
pub struct Machine(BTreeSet<String>);

impl Machine {
    pub fn look() -> Result<Self> {
        let mut lines = BTreeSet::new();
        for (about, arguments) in [
            ("link", &["-brief", "link"]),
            ("address", &["-brief", "address"]),
            ("route", &["route", "show"]),
        ] {
            let text = tools::output(Command::new("ip").args(arguments.as_slice()))?;
            lines.extend(text.lines().map(|line| format!("{about} {line}")));
        }
        let rules = tools::output(&mut Command::new("iptables-save"))?;
        let rules = rules.lines().filter(|line| !line.starts_with(['#', ':']));
        lines.extend(rules.map(|line| format!("iptables {line}")));
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        lines.extend(mounts.lines().map(|line| format!("mount {line}")));
        for entry in fs::read_dir("/proc/sys/net/ipv4/conf")?.flatten() {
            lines.insert(format!("conf {}", entry.file_name().display()));
        }
        for name in traces::SETTINGS.iter().chain(&["net/ipv4/ip_forward"]) {
            let value = fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default();
            lines.insert(format!("setting {name} {}", value.trim()));
        }
        for place in traces::PLACES {
            lines.insert(format!("place {place} {}", Path::new(place).exists()));
        }
        for pid in cgroup::processes()? {
            lines.insert(format!("process {pid} in the groups of {NAME}"));
        }
        Ok(Self(lines))
    }

    /// An error that names every difference.
    pub fn compare(&self, after: &Self) -> Result<()> {
        let gone = self.0.difference(&after.0).map(|line| format!("- {line}"));
        let come = after.0.difference(&self.0).map(|line| format!("+ {line}"));
        let differences: Vec<String> = gone.chain(come).collect();
        if !differences.is_empty() {
            bail!("the machine differs:\n{}", differences.join("\n"));
        }
        Ok(())
    }
}

/// Resident memory of the node, one line a program, largest first.
pub fn memory() -> Result<Vec<String>> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for pid in cgroup::processes()? {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        // One that ends while it is looked at needs no memory.
        let bytes = xtask::process::resident(pid).unwrap_or_default();
        *sums.entry(name.trim().to_owned()).or_default() += bytes;
    }
    let mut rows: Vec<(String, u64)> = sums.into_iter().collect();
    rows.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let line = |(name, bytes): &(String, u64)| format!("memory {name} {} MiB", bytes >> 20);
    Ok(rows.iter().map(line).collect())
}
