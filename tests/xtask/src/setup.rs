//! `cargo xtask setup`: the tools a build needs beside Rust.
//!
//! RocksDB is C++ and its bindings are made by libclang at build time; protoc is needed by the
//! Rust client that the tests drive us with, not by our own crates; jemalloc is built by make; the
//! API server's keys are made by openssl; the peers are Go.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use xtask::places;

/// The version of cargo-deny that `.deny.toml` is written for.
const CARGO_DENY: &str = "0.20.2";
/// The first Go that fetches the toolchain a module asks for by itself.
const OLDEST_GO: (u32, u32) = (1, 21);

/// A tool, the test for it, and the Debian package that holds it.
pub struct Tool {
    pub name: &'static str,
    pub package: &'static str,
    pub present: fn() -> bool,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "libclang",
        package: "libclang-dev",
        present: has_libclang,
    },
    Tool {
        name: "a C++ compiler",
        package: "g++",
        present: has_compiler,
    },
    Tool {
        name: "make",
        package: "make",
        present: || answers("make", &["--version"]).is_some(),
    },
    Tool {
        name: "git",
        package: "git",
        present: || answers("git", &["--version"]).is_some(),
    },
    Tool {
        name: "openssl",
        package: "openssl",
        present: || answers("openssl", &["version"]).is_some(),
    },
    Tool {
        name: "mkfs.ext4",
        package: "e2fsprogs",
        present: has_mkfs,
    },
    Tool {
        name: "ip",
        package: "iproute2",
        present: || !is_root() || answers("ip", &["-Version"]).is_some(),
    },
    Tool {
        name: "protoc",
        package: "protobuf-compiler",
        present: has_protoc,
    },
];

pub fn run(_arguments: &[String]) -> Result<()> {
    check_tools()?;
    let deny = ensure_cargo_deny()?;
    println!("setup: complete; cargo-deny is {}", deny.display());
    Ok(())
}

/// Looks for every tool. What is missing is installed when root on Debian; any other user gets the
/// one line to type and an error.
pub fn check_tools() -> Result<()> {
    if !has_go() {
        // The one that Debian 12 has is older.
        bail!("missing: Go 1.21 or newer on the PATH (Debian 12: golang-1.22-go of its backports)");
    }
    install_missing(TOOLS.iter().collect())
}

/// The same for other tools than those of a build.
pub fn install_missing(tools: Vec<&Tool>) -> Result<()> {
    let lacks = |tool: &&&Tool| !(tool.present)();
    let missing: Vec<&Tool> = tools.iter().filter(lacks).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|tool| tool.name).collect();
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        let packages = packages.join(" ");
        bail!(
            "missing: {}; type: sudo apt-get install -y {packages}",
            names.join(", ")
        );
    }
    println!(
        "setup: installing {} for {}",
        packages.join(" "),
        names.join(", ")
    );
    for arguments in [vec!["update"], [vec!["install", "-y"], packages].concat()] {
        let status = Command::new("apt-get")
            .args(&arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null())
            .status()
            .context("cannot run apt-get")?;
        if !status.success() {
            bail!("apt-get {} failed with {status}", arguments.join(" "));
        }
    }
    match missing.iter().find(lacks) {
        Some(tool) => bail!(
            "{} is still missing after {} was installed",
            tool.name,
            tool.package
        ),
        None => Ok(()),
    }
}

/// The path of the pinned cargo-deny; the first call compiles it into the cache.
///
/// It is built without optimisation, which halves the time and costs a check nothing, and in a
/// target directory of its own, so that it does not wait for the build of the workspace.
pub fn ensure_cargo_deny() -> Result<PathBuf> {
    let tools = places::cache()?.join("tools");
    let program = tools.join(format!("cargo-deny-{CARGO_DENY}/bin/cargo-deny"));
    if program.exists() {
        return Ok(program);
    }
    println!("setup: building cargo-deny {CARGO_DENY}, which takes some minutes once");
    let root = tools.join(format!("cargo-deny-{CARGO_DENY}"));
    let build = tools.join("build");
    let log = tools.join("cargo-deny.log");
    fs::create_dir_all(&tools).with_context(|| format!("cannot create {}", tools.display()))?;
    let output = fs::File::create(&log)?;
    let version = format!("cargo-deny@{CARGO_DENY}");
    let status = places::cargo(&["install", "--locked", "--debug", &version, "--root"])?
        .arg(&root)
        .env("CARGO_TARGET_DIR", &build)
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!(
            "cargo install {version} failed with {status}; see {}",
            log.display()
        );
    }
    fs::remove_dir_all(&build).context("cannot remove the build directory of cargo-deny")?;
    Ok(program)
}

/// Root may load kernel objects, mount and install; some suites need it.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The places where bindgen's loader looks, in short: its variable, and the folders of Debian,
/// Fedora and Arch.
fn has_libclang() -> bool {
    let named = env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    let fixed = [
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/usr/lib/x86_64-linux-gnu",
    ];
    let mut folders: Vec<PathBuf> = named.into_iter().chain(fixed.map(PathBuf::from)).collect();
    for entry in fs::read_dir("/usr/lib").into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("llvm-") {
            folders.push(entry.path().join("lib"));
        }
    }
    folders.iter().any(|folder| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name())
            .any(|name| is_libclang(&name.to_string_lossy()))
    })
}

/// `libclang.so.1`, `libclang-14.so`. The C++ library `libclang-cpp`, which comes with Debian's
/// LLVM tools, lacks the C functions that bindgen calls.
fn is_libclang(name: &str) -> bool {
    let versioned = name.starts_with("libclang-") && !name.starts_with("libclang-cpp");
    (name.starts_with("libclang.so") || versioned) && name.contains(".so")
}

fn has_compiler() -> bool {
    let named = env::var("CXX").unwrap_or_else(|_| "c++".into());
    answers(&named, &["--version"]).is_some()
}

/// Root alone makes file systems, for power cuts and full disks.
fn has_mkfs() -> bool {
    let places = ["/sbin/mkfs.ext4", "/usr/sbin/mkfs.ext4"];
    !is_root() || places.iter().any(|path| Path::new(path).exists())
}

fn has_protoc() -> bool {
    let named = env::var("PROTOC").unwrap_or_else(|_| "protoc".into());
    answers(&named, &["--version"]).is_some()
}

fn has_go() -> bool {
    answers("go", &["env", "GOVERSION"]).is_some_and(|version| is_new_enough(&version))
}

/// Reads `go1.26.8`; a development version has no number and is taken as new.
fn is_new_enough(version: &str) -> bool {
    let Some(numbers) = version.trim().strip_prefix("go") else {
        return true;
    };
    let mut numbers = numbers
        .split('.')
        .map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST_GO
}

/// What a program prints, if it exists and succeeds.
pub fn answers(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libclang_is_told_from_its_cpp_library() {
        for name in ["libclang.so", "libclang.so.1", "libclang-14.so.14.0.6"] {
            assert!(is_libclang(name), "{name}");
        }
        for name in ["libclang-cpp.so.14", "libclangAST.a", "libclang-14.a"] {
            assert!(!is_libclang(name), "{name}");
        }
    }

    #[test]
    fn old_go_is_told_from_new() {
        assert!(!is_new_enough("go1.19.8\n"));
        assert!(is_new_enough("go1.21.0"));
        assert!(is_new_enough("devel +abc"));
    }
}
