//! `cargo xtask bench`: the release build, then the paired benchmark of `tests/bench`.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use xtask::places;

use crate::{peers, setup, up};

/// Builds both sides and hands every argument to `mainstay-bench`.
///
/// `MAINSTAY_BIN` names a server to measure instead of a fresh release build.
pub fn run(arguments: &[String]) -> Result<()> {
    setup::check_tools()?;
    let folder = peers::ensure(peers::ETCD)?;
    let program = match std::env::var_os("MAINSTAY_BIN") {
        Some(program) => PathBuf::from(program),
        None => build_release()?,
    };
    let status = places::cargo(&["run", "--quiet", "--package", "mainstay-bench", "--"])?
        .args(arguments)
        .env("MAINSTAY_PEERS", folder)
        .env("MAINSTAY_BIN", program)
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the benchmark ended with {status}");
    }
    Ok(())
}

/// Builds the server as it is released.
///
/// RocksDB is optimised the same in both profiles, so its library of the everyday build is linked
/// here too instead of compiling half a million lines again.
fn build_release() -> Result<PathBuf> {
    let library = match newest_rocksdb()? {
        Some(folder) => folder,
        None => {
            up::build_server()?;
            newest_rocksdb()?.context("the build left no librocksdb.a")?
        }
    };
    println!("building mainstay --release");
    let status = places::cargo(&["build", "--release", "--package", "mainstay-server"])?
        .env("ROCKSDB_LIB_DIR", library)
        .env("ROCKSDB_STATIC", "1")
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the release build failed");
    }
    places::built("release", "mainstay")
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
