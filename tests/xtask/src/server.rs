//! `cargo xtask server`: builds the server in one of its three forms and says where it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use xtask::places;

/// All of the workspace is selected even where one program is wanted, so that dependencies get
/// the same features in every build and are compiled once.
const EVERYDAY: &[&str] = &["--workspace", "--bin", "mainstay"];

pub fn run(arguments: &[String]) -> Result<()> {
    let program = match arguments {
        [] => everyday()?,
        [flag] if flag == "--planted" => planted()?,
        [flag] if flag == "--release" => release()?,
        _ => bail!("the only arguments are --planted and --release, one of them"),
    };
    println!("{}", program.display());
    Ok(())
}

/// The server of the everyday build, which tests, chaos and `up` share. `MAINSTAY_BIN` names
/// another, which is then not built.
pub fn everyday() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("MAINSTAY_BIN") {
        return Ok(PathBuf::from(program));
    }
    eprintln!("building mainstay (the first time RocksDB too, a quarter of an hour on two cores)");
    build(EVERYDAY, None)?;
    places::built("debug", "mainstay")
}

/// A test program of the workspace, from the same build.
pub fn test_program(name: &str) -> Result<PathBuf> {
    build(&["--workspace", "--bin", name], None)?;
    places::built("debug", name)
}

/// The server with the faults that chaos must catch, beside the everyday one.
///
/// Cargo gives both the same name, so this one is copied away and the other put back. Only the
/// crates of the workspace are built twice.
pub fn planted() -> Result<PathBuf> {
    let built = places::built("debug", "mainstay")?;
    let kept = places::built("debug", "mainstay-planted")?;
    let fresh = kept.with_extension("new");
    eprintln!("building mainstay with planted faults");
    build(
        &[EVERYDAY, &["--features", "mainstay-server/planted-faults"]].concat(),
        None,
    )?;
    fs::copy(&built, &fresh).context("cannot copy the server with planted faults")?;
    fs::rename(&fresh, &kept).context("cannot move the server with planted faults")?;
    build(EVERYDAY, None)?;
    Ok(kept)
}

/// The server as it is released.
///
/// RocksDB is optimised the same in both profiles, so its library of the everyday build is linked
/// here too instead of compiling half a million lines again.
pub fn release() -> Result<PathBuf> {
    let library = match newest_rocksdb()? {
        Some(folder) => folder,
        None => {
            build(EVERYDAY, None)?;
            newest_rocksdb()?.context("the build left no librocksdb.a")?
        }
    };
    let library = static_libraries(&library)?;
    eprintln!("building mainstay --release");
    build(
        &["--release", "--package", "mainstay-server"],
        Some(library),
    )?;
    places::built("release", "mainstay")
}

/// A folder with RocksDB's library and the static C++ one beside it. Given a ready library,
/// RocksDB's crate asks for `stdc++` as a shared one, and a static program that needs a shared
/// library crashes before main; the linker takes what it finds first, so it is put here.
fn static_libraries(rocksdb: &Path) -> Result<PathBuf> {
    let folder = places::target()?.join("rocksdb-static");
    fs::create_dir_all(&folder).context("cannot create a folder for static libraries")?;
    let asked = Command::new("g++")
        .arg("-print-file-name=libstdc++.a")
        .output()
        .context("cannot run g++")?;
    let stdcxx = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    let copy = |from: &Path, name: &str| {
        fs::copy(from, folder.join(name)).with_context(|| format!("cannot copy {name}"))
    };
    copy(&rocksdb.join("librocksdb.a"), "librocksdb.a")?;
    copy(&stdcxx, "libstdc++.a")?;
    Ok(folder)
}

fn build(arguments: &[&str], rocksdb: Option<PathBuf>) -> Result<()> {
    let mut command = places::cargo(&["build", "--quiet"])?;
    command.args(arguments).stdin(Stdio::null());
    if let Some(folder) = rocksdb {
        command
            .env("ROCKSDB_LIB_DIR", folder)
            .env("ROCKSDB_STATIC", "1");
    }
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo build {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// The folder of the everyday build's newest `librocksdb.a`.
fn newest_rocksdb() -> Result<Option<PathBuf>> {
    let builds = places::target()?.join(places::TARGET).join("debug/build");
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for entry in fs::read_dir(builds).into_iter().flatten().flatten() {
        let out = entry.path().join("out");
        if let Ok(library) = fs::metadata(out.join("librocksdb.a")) {
            let written = library.modified().context("no time of last change")?;
            if newest.as_ref().is_none_or(|(time, _)| written > *time) {
                newest = Some((written, out));
            }
        }
    }
    Ok(newest.map(|(_, folder)| folder))
}
