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
    Peer {
        name: "kube-controller-manager",
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd/kube-controller-manager",
    },
    Peer {
        name: "kube-scheduler",
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd/kube-scheduler",
    },
    Peer {
        name: "kubelet",
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd/kubelet",
    },
    Peer {
        name: "kube-proxy",
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd/kube-proxy",
    },
    Peer {
        name: "helm",
        module: "helm",
        package: "helm.sh/helm/v3/cmd/helm",
    },
    Peer {
        name: "promtool",
        module: "prometheus",
        package: "github.com/prometheus/prometheus/cmd/promtool",
    },
    Peer {
        name: "coredns",
        module: "coredns",
        package: "github.com/coredns/coredns",
    },
    Peer {
        name: "versitygw",
        module: "s3",
        package: "github.com/versity/versitygw/cmd/versitygw",
    },
];

/// The folders below `tests/peers`, one Go module each.
const MODULES: &[&str] = &["etcd", "kubernetes", "helm", "prometheus", "coredns", "s3"];

/// The four programs of etcd, which every cluster to try or to measure needs.
pub const ETCD: &[&str] = &["etcd", "etcdctl", "etcdutl", "benchmark"];

/// The programs of a Kubernetes node, and the client that installs charts on it.
pub const NODE: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "kubectl",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "helm",
];

/// The S3-compatible store that the operator backs up to in its suite.
pub const BACKUP: &[&str] = &["versitygw"];

/// What chart, samples and alerts are tested with.
pub const CHARTS: &[&str] = &["etcd", "kube-apiserver", "kubectl", "helm", "promtool"];

/// What the suites of the store need: etcd, and an API server that runs on us.
pub const STORE: &[&str] = &[
    "etcd",
    "etcdctl",
    "etcdutl",
    "benchmark",
    "kube-apiserver",
    "kubectl",
];

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
/// A program lies in a folder keyed by the pinned versions of its own module, so that another
/// helm builds no etcd again. The folder returned holds links to the programs of all modules, and
/// `current` points at it. Finished programs are renamed into place: an interrupted build leaves
/// nothing behind.
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
    let folder = root.join(key(&modules, MODULES)?);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for peer in PEERS {
        let wanted = names.is_empty() || names.contains(&peer.name);
        let own = format!("{}-{}", peer.module, key(&modules, &[peer.module])?);
        let built = root.join(&own).join(peer.name).exists();
        // One that is there anyway is linked too: `current` never has fewer than before.
        if !wanted && !built {
            continue;
        }
        if !built {
            fs::create_dir_all(root.join(&own)).with_context(|| format!("cannot create {own}"))?;
            build(peer, &modules.join(peer.module), &root.join(&own))?;
        }
        let target = Path::new("..").join(own).join(peer.name);
        switch(&folder.join(peer.name), &target)?;
    }
    point_current_at(&root, &folder)?;
    Ok(folder)
}

/// A name for the pinned versions of some modules: FNV-1a over their files, 16 hex digits.
fn key(modules: &Path, names: &[&str]) -> Result<String> {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for module in names {
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
        .args(["build", "-trimpath", "-ldflags", &linker_flags(peer)])
        // Prometheus' own: without it promtool holds a client of every cloud. Others do not know it.
        .args(["-tags", "remove_all_sd", "-o"])
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

/// Points `current` at the folder by its name, so that the cache can be moved.
fn point_current_at(root: &Path, folder: &Path) -> Result<()> {
    let name = folder
        .file_name()
        .context("the folder of the peers has no name")?;
    switch(&root.join("current"), Path::new(name))
}

/// Makes `link` point at `target` in one step, so that no reader finds it missing.
fn switch(link: &Path, target: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let fresh = link.with_extension(std::process::id().to_string());
    std::os::unix::fs::symlink(target, &fresh)
        .and_then(|()| fs::rename(&fresh, link))
        .with_context(|| format!("cannot point {} at {}", link.display(), target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module folder with both of its files.
    fn pin(modules: &Path, name: &str, version: &str) {
        fs::create_dir_all(modules.join(name)).unwrap();
        for file in ["go.mod", "go.sum"] {
            fs::write(modules.join(name).join(file), version).unwrap();
        }
    }

    #[test]
    fn another_helm_leaves_the_key_of_etcd_alone() {
        let modules = std::env::temp_dir().join(format!("peers-{}", std::process::id()));
        pin(&modules, "etcd", "1");
        pin(&modules, "helm", "1");
        let etcd = key(&modules, &["etcd"]).unwrap();
        let all = key(&modules, &["etcd", "helm"]).unwrap();
        pin(&modules, "helm", "2");
        assert_eq!(key(&modules, &["etcd"]).unwrap(), etcd);
        assert_ne!(key(&modules, &["etcd", "helm"]).unwrap(), all);
        fs::remove_dir_all(&modules).unwrap();
    }

    #[test]
    fn every_peer_names_a_module_that_counts() {
        for peer in PEERS {
            assert!(MODULES.contains(&peer.module), "{}", peer.name);
        }
    }
}
