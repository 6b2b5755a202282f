//! The programs of Debian packages that the node needs, and how a program is run to its end.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Where the CNI plugins of Debian's package lie.
pub const CNI_PLUGINS: &str = "/usr/lib/cni";

/// Programs looked for on the usual paths of an administrator.
const PROGRAMS: &[&str] = &[
    "busybox",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "ip",
    "iptables",
    "mount",
    "nsenter",
    "runc",
    "setsid",
    "unshare",
];

/// An error that names what is missing; `cargo xtask cluster up` installs it.
pub fn check() -> Result<()> {
    let folders = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ];
    let found = |name: &&&str| {
        let here = |folder: &&str| Path::new(folder).join(name).exists();
        folders.iter().any(here)
    };
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|name| !found(name))
        .copied()
        .collect();
    if !Path::new(CNI_PLUGINS).join("bridge").exists() {
        missing.push("the CNI plugins");
    }
    if !missing.is_empty() {
        bail!("missing: {}", missing.join(", "));
    }
    Ok(())
}

/// Standard output of a command that must succeed; a failure quotes what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !done.status.success() {
        let arguments: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        bail!(
            "{name} {} ended with {}: {}",
            arguments.join(" "),
            done.status,
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
