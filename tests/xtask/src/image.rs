//! `cargo xtask image`: images of our programs, as archives that containerd and others load.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use xtask::places;

use crate::server;

/// The programs that have an image. One that the workspace does not have is left out.
const PROGRAMS: &[&str] = &["mainstay", "mainstay-operator"];

pub fn run(arguments: &[String]) -> Result<()> {
    let names: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for archive in ensure(&names)? {
        println!("{}", archive.display());
    }
    Ok(())
}

/// Builds the named images, or all, and returns their archives in the cache.
pub fn ensure(names: &[&str]) -> Result<Vec<PathBuf>> {
    if let Some(name) = names.iter().find(|name| !PROGRAMS.contains(name)) {
        bail!(
            "no image is called '{name}'; there are {}",
            PROGRAMS.join(", ")
        );
    }
    let wanted = |name: &&&str| names.is_empty() || names.contains(*name);
    let mut archives = Vec::new();
    for name in PROGRAMS.iter().filter(wanted) {
        if is_in_workspace(name)? {
            archives.push(make(name)?);
        } else if names.contains(name) {
            bail!("the workspace has no program {name}");
        }
    }
    Ok(archives)
}

/// The archive of one image, named by the program and the version of the workspace.
fn make(name: &str) -> Result<PathBuf> {
    let program = match name {
        "mainstay" => server::everyday()?,
        other => server::test_program(other)?,
    };
    let output = Command::new(server::test_program("mainstay-cluster")?)
        .args(["image", name])
        .arg(program)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run mainstay-cluster")?;
    if !output.status.success() {
        bail!("mainstay-cluster image {name} ended with {}", output.status);
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

fn is_in_workspace(program: &str) -> Result<bool> {
    let output = places::cargo(&[
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ])?
    .output()
    .context("cannot run cargo metadata")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.contains(&format!("\"crate_types\":[\"bin\"],\"name\":\"{program}\"")))
}
