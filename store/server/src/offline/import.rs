//! `mainstay import`: a new data directory of that of a stopped etcd member.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use mainstay_mvcc::Options;
use rustix::fs::{FlockOperation, flock};

use super::NewCluster;
use super::new_dir::NewDir;
use super::restore::{open, report};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The stopped member's data directory.
    #[arg(long)]
    from_data_dir: PathBuf,
    #[command(flatten)]
    cluster: NewCluster,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let path = arguments.from_data_dir.join("member/snap/db");
    let named = || path.display().to_string();
    let file = open(&path)?;
    lock(&file, &path)?;
    let dir = NewDir::begin(&arguments.cluster)?;
    let options = Options::new(dir.store());
    let imported =
        mainstay_snapshot::import(file, &options, &dir.applied, None).with_context(named)?;
    report(&dir, &imported);
    dir.finish()
}

/// etcd holds the file locked while it runs.
fn lock(file: &File, path: &Path) -> Result<()> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            bail!("{} is in use: stop etcd first", path.display())
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}
