//! `cargo xtask peers`: builds the real etcd and Kubernetes once for each version of `tests/peers`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::{interrupt, places, process};

/// How often a build that takes long says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// The version of Kubernetes that `tests/peers/kubernetes/go.mod` pins.
const KUBERNETES: &str = "v1.34.4";

/// A program of the real thing: its name, its module below `tests/peers`, its main package.
struct Peer {
    name: &'static str,
    module: &'static str,
    package: &'static str,
}

const PEERS: &[Peer] = &[
    Peer {
        name: "etcd",
        module: "etcd",
        package: "go.etcd.io/etcd/server/v3",
    },
    Peer {
        name: "etcdctl",
        module: "etcd",
        package: "go.etcd.io/etcd/etcdctl/v3",
    },
    Peer {
        name: "etcdutl",
        module: "etcd",
        package: "go.etcd.io/etcd/etcdutl/v3",
    },
    Peer {
        name: "benchmark",
        module: "etcd",
        package: "go.etcd.io/etcd/v3/tools/benchmark",
    },
    Peer {
        name: "kube-apiserver",
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
    },
    Peer {
        name: "kubectl",
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd/kubectl",
    },
];

/// The four programs of etcd, which every cluster to try or to measure needs.
pub const ETCD: &[&str] = &["etcd", "etcdctl", "etcdutl", "benchmark"];

/// Builds the peers named by the arguments, or all; `--path` then prints their folder.
pub fn run(arguments: &[String]) -> Result<()> {
    let wants_path = arguments.iter().any(|argument| argument == "--path");
    let names: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "--path")
        .collect();
    let folder = ensure(&names)?;
    if wants_path {
        println!("{}", folder.display());
    } else {
        eprintln!("peers: complete in {}", folder.display());
    }
    Ok(())
}

/// Builds what is missing of the named peers (all, if none is named) and returns their folder.
///
/// The folder is keyed by the pinned versions, so a second run costs nothing, and `current` points
/// at it. Finished programs are renamed into place: an interrupted build leaves nothing behind.
pub fn ensure(names: &[&str]) -> Result<PathBuf> {
    if let Some(name) = names
        .iter()
        .find(|name| PEERS.iter().all(|peer| peer.name != **name))
    {
        let known: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
        bail!("no peer is called '{name}'; there are {}", known.join(", "));
    }
    let modules = places::checkout()?.join("tests/peers");
    let root = places::cache()?.join("peers");
    let folder = root.join(key(&modules)?);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for peer in PEERS
        .iter()
        .filter(|peer| names.is_empty() || names.contains(&peer.name))
    {
        if !folder.join(peer.name).exists() {
            build(peer, &modules.join(peer.module), &folder)?;
        }
    }
    point_current_at(&root, &folder)?;
    Ok(folder)
}

/// A name for the pinned versions: FNV-1a over the module files, 16 hex digits.
fn key(modules: &Path) -> Result<String> {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for module in ["etcd", "kubernetes"] {
        for file in ["go.mod", "go.sum"] {
            let path = modules.join(module).join(file);
            let bytes = fs::read(&path).with_context(|| format!("no {}", path.display()))?;
            for byte in bytes {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
    }
    Ok(format!("{hash:016x}"))
}

fn build(peer: &Peer, module: &Path, folder: &Path) -> Result<()> {
    let begin = Instant::now();
    let partial = folder.join(format!("{}.partial-{}", peer.name, std::process::id()));
    let log = folder.join(format!("{}.log", peer.name));
    eprintln!("peers: building {}", peer.name);
    let mut command = Command::new("go");
    command
        .args(["build", "-trimpath", "-ldflags", &linker_flags(peer), "-o"])
        .arg(&partial)
        .arg(peer.package)
        .current_dir(module)
        // As the released programs are built: static, without cgo.
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).with_context(|| format!("cannot write {}", log.display()))?);
    let child = command
        .spawn()
        .context("cannot run go; `cargo xtask setup` says what is missing")?;
    watch(peer.name, child, begin, &log)?;
    fs::rename(&partial, folder.join(peer.name)).context("cannot move the program into place")?;
    fs::remove_file(&log).context("cannot remove the log of the build")?;
    eprintln!(
        "peers: {} built in {} s",
        peer.name,
        begin.elapsed().as_secs()
    );
    Ok(())
}

/// Waits for the build with a line every half minute; a failure quotes what go said.
fn watch(name: &str, mut child: Child, begin: Instant, log: &Path) -> Result<()> {
    let mut next_line = HEARTBEAT;
    loop {
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                let text = fs::read_to_string(log).unwrap_or_default();
                bail!("go could not build {name}:\n{text}");
            }
            return Ok(());
        }
        if interrupt::asked() {
            let _ = child.kill();
            let _ = child.wait();
            bail!("interrupted while building {name}");
        }
        if begin.elapsed() > next_line {
            eprintln!("peers: {name}, {} s so far", begin.elapsed().as_secs());
            next_line += HEARTBEAT;
        }
        std::thread::sleep(process::POLL);
    }
}

/// The API server reports v0.0.0 unless its version is linked in; etcd's is in its source.
fn linker_flags(peer: &Peer) -> String {
    let mut flags = String::from("-s -w");
    if peer.module == "kubernetes" {
        let numbers: Vec<&str> = KUBERNETES.trim_start_matches('v').split('.').collect();
        for (name, value) in [
            ("gitVersion", KUBERNETES),
            ("gitMajor", numbers[0]),
            ("gitMinor", numbers[1]),
        ] {
            flags.push_str(&format!(" -X k8s.io/component-base/version.{name}={value}"));
        }
    }
    flags
}

/// Switches the link `current` in one step, so that no reader finds it missing.
fn point_current_at(root: &Path, folder: &Path) -> Result<()> {
    let current = root.join("current");
    let name = folder
        .file_name()
        .context("the folder of the peers has no name")?;
    if fs::read_link(&current).is_ok_and(|target| target.as_os_str() == name) {
        return Ok(());
    }
    let fresh = root.join(format!("current.{}", std::process::id()));
    std::os::unix::fs::symlink(name, &fresh).context("cannot link the folder of the peers")?;
    fs::rename(&fresh, &current).context("cannot switch peers/current")
}
