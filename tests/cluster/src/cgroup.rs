//! The control groups of the node: by them every process of it is found, however it came to be.
//!
//! `mainstay-node/system` holds what the keeper starts, `mainstay-node/kubepods` is the kubelet's.
//! With the first version of control groups there is one tree a controller; processes are looked
//! for in all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::process;

use crate::NAME;

/// How long killed processes may take to disappear.
const END_LIMIT: Duration = Duration::from_secs(30);

/// The node's group in every tree of this machine.
fn roots() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("no list of mounts")?;
    Ok(parse(&mounts).iter().map(|tree| tree.join(NAME)).collect())
}

/// Mount points of type `cgroup` and `cgroup2`: a machine may have both, and runc uses both.
fn parse(mounts: &str) -> Vec<PathBuf> {
    let fields = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let trees = fields.filter(|fields| matches!(fields.get(2), Some(&"cgroup" | &"cgroup2")));
    trees
        .filter_map(|fields| fields.get(1).map(PathBuf::from))
        .collect()
}

/// Makes the node's groups and returns the file by which a process joins `system`.
pub fn create() -> Result<PathBuf> {
    let roots = roots()?;
    for root in &roots {
        delegate(root);
        fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
    }
    // Any tree will do to find the processes again, but one that needs settings first (cpuset).
    let plain = |root: &&PathBuf| !root.to_string_lossy().contains("cpuset");
    let root = roots.iter().find(plain).context("no control groups")?;
    let system = root.join("system");
    fs::create_dir_all(&system).with_context(|| format!("cannot create {}", system.display()))?;
    Ok(system.join("cgroup.procs"))
}

/// Second version only: lets groups at the top of the tree have the controllers that pods need.
/// Where an init system is at work they have them already, so a refusal shows at the kubelet.
fn delegate(root: &Path) {
    let Some(control) = root
        .parent()
        .map(|tree| tree.join("cgroup.subtree_control"))
    else {
        return;
    };
    if control.exists() {
        for controller in ["+cpu", "+cpuset", "+io", "+memory", "+pids", "+hugetlb"] {
            let _ = fs::write(&control, controller);
        }
    }
}

/// Process ids of everything in the node, as this machine counts them.
pub fn processes() -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for root in roots()? {
        for group in groups(&root) {
            let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The first process of the node's process namespace, as this machine counts it.
pub fn first_process() -> Result<Option<u32>> {
    let first = |pid: &u32| {
        let ids = numbers(*pid);
        ids.len() > 1 && ids.last().is_some_and(|id| id == "1")
    };
    // A pod's first process is that of a namespace further in, so it has one number more.
    let outermost = |pid: &u32| numbers(*pid).len();
    Ok(processes()?.into_iter().filter(first).min_by_key(outermost))
}

/// The ids of a process in its process namespaces, from the outermost in.
fn numbers(pid: u32) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let ids = line.unwrap_or_default().split_whitespace();
    ids.map(str::to_owned).collect()
}

/// Kills every process of the node and waits until none is left; then removes the groups.
pub fn destroy() -> Result<()> {
    process::wait_to_stop("the processes of the node end", END_LIMIT, || {
        let left = processes()?;
        left.iter().copied().for_each(process::kill);
        Ok(left.is_empty())
    })?;
    for root in roots()? {
        process::wait_to_stop("the control groups are free", END_LIMIT, || {
            // Deepest first; a group is busy for a moment after its last process has ended.
            for group in groups(&root).iter().rev() {
                let _ = fs::remove_dir(group);
            }
            Ok(!root.exists())
        })?;
    }
    Ok(())
}

/// A group and all below it, each before what is inside of it.
fn groups(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    let mut at = 0;
    while let Some(folder) = found.get(at).cloned() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.push(entry.path());
            }
        }
        at += 1;
    }
    found
}

/// Refuses a machine whose control groups cannot be written, with the reason.
pub fn check() -> Result<()> {
    if roots()?.is_empty() {
        bail!("no control groups are mounted, and no container runs without");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_of_both_versions_are_found() {
        let both = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                    cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                    cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let found = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"];
        assert_eq!(parse(both), found.map(PathBuf::from));
        assert!(parse("proc /proc proc rw 0 0\n").is_empty());
    }
}
