//! The files that git tracks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A tracked text file: its path from the root of the checkout, and what it holds.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: String,
    pub text: String,
}

/// The root of the checkout.
///
/// # Errors
/// When the test does not run inside a checkout.
pub fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("not run by cargo")?;
    let root = Path::new(&package)
        .ancestors()
        .nth(2)
        .context("no checkout around")?;
    Ok(root.to_path_buf())
}

/// Every tracked file whose name ends in `ending` and that is still there.
///
/// # Errors
/// When git does not know the checkout, or a file is not UTF-8.
pub fn sources(ending: &str) -> Result<Vec<Source>> {
    let root = root()?;
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(&root)
        .output()?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    }
    let list = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let mut found = Vec::new();
    for path in list
        .split('\0')
        .filter(|path| !path.is_empty() && path.ends_with(ending))
    {
        let full = root.join(path);
        if full.is_file() {
            let text = fs::read_to_string(&full).with_context(|| format!("{path} is not text"))?;
            found.push(Source {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(found)
}
