//! `cargo xtask crds`: the operator's types, written down as resource definitions.

use anyhow::{Context, Result, bail};
use xtask::places;

pub fn run(_arguments: &[String]) -> Result<()> {
    let folder = places::checkout()?.join("crds");
    let arguments = [
        "run",
        "--quiet",
        "--package",
        "mainstay-operator-api",
        "--bin",
        "crdgen",
        "--",
    ];
    let status = places::cargo(&arguments)?
        .arg(folder)
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("crdgen ended with {status}");
    }
    // Chart and kustomize base hold them too.
    crate::charts::run(&["render".to_owned()])
}
