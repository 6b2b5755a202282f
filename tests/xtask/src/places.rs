//! Where things lie: the checkout, and the cache that survives it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The one target everything is built for; `.cargo/config.toml` names it too.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The root of the checkout.
///
/// Cargo says at run time where the package lies. It is not compiled in, because two checkouts may
/// share one target directory and so one binary.
pub fn checkout() -> Result<PathBuf> {
    let start = match env::var_os("CARGO_MANIFEST_DIR") {
        Some(package) => PathBuf::from(package),
        None => env::current_dir().context("no current directory")?,
    };
    start
        .ancestors()
        .find(|folder| folder.join("tests/peers").is_dir())
        .map(Path::to_path_buf)
        .with_context(|| format!("{} is not inside a checkout of Mainstay", start.display()))
}

/// `$HOME/.cache/mainstay`, or `$MAINSTAY_CACHE`: built peers, tools, data of `up`.
pub fn cache() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("MAINSTAY_CACHE") {
        return Ok(PathBuf::from(folder));
    }
    match env::var_os("HOME") {
        Some(home) => Ok(PathBuf::from(home).join(".cache/mainstay")),
        None => bail!("neither MAINSTAY_CACHE nor HOME is set: no place for the cache"),
    }
}

/// Where cargo's outputs go: `$CARGO_TARGET_DIR`, or a folder in the cache, so that a second
/// checkout does not build RocksDB again.
pub fn target() -> Result<PathBuf> {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => Ok(PathBuf::from(folder)),
        None => Ok(cache()?.join("target")),
    }
}

/// A program of this workspace as the profile's build leaves it (`debug` or `release`).
pub fn built(profile: &str, program: &str) -> Result<PathBuf> {
    Ok(target()?.join(TARGET).join(profile).join(program))
}

/// The folder of the peers that were built last; `cargo xtask peers` keeps it up to date.
pub fn peers() -> Result<PathBuf> {
    match env::var_os("MAINSTAY_PEERS") {
        Some(folder) => Ok(PathBuf::from(folder)),
        None => Ok(cache()?.join("peers/current")),
    }
}

/// A cargo command in the checkout, with the shared target directory.
pub fn cargo(arguments: &[&str]) -> Result<Command> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(checkout()?)
        .env("CARGO_TARGET_DIR", target()?);
    // Cargo describes the package that runs to it. A nested cargo would hand that on to build
    // scripts that watch their environment, and build them again each time.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    Ok(command)
}
