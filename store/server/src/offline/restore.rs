//! `mainstay snapshot restore`: a new data directory of a backup, with etcdutl's rules.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use mainstay_mvcc::Options;
use mainstay_snapshot::{Imported, trailer};

use super::NewCluster;
use super::new_dir::NewDir;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The backup.
    file: PathBuf,
    #[command(flatten)]
    pub(super) cluster: NewCluster,
    /// Takes a file that has no checksum at its end, such as one copied from a data directory.
    #[arg(long)]
    pub(super) skip_hash_check: bool,
    /// By how much the latest revision is raised.
    #[arg(long, default_value_t = 0)]
    pub(super) bump_revision: u64,
    /// Counts everything before the raised revision as compacted; goes with --bump-revision.
    #[arg(long)]
    mark_compacted: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    if (arguments.bump_revision > 0) != arguments.mark_compacted {
        bail!("--mark-compacted required if --revision-bump > 0");
    }
    let file = open(&arguments.file)?;
    if !arguments.skip_hash_check {
        trailer::verify(&file).with_context(|| arguments.file.display().to_string())?;
    }
    let dir = NewDir::begin(&arguments.cluster)?;
    let imported = import(&dir, file, arguments.bump_revision);
    let imported = imported.with_context(|| arguments.file.display().to_string())?;
    report(&dir, &imported);
    dir.finish()
}

/// The content of a backup into the store of a new directory.
pub fn import(dir: &NewDir, file: File, bump_revision: u64) -> Result<Imported> {
    let raise = Some(bump_revision).filter(|by| *by > 0);
    let options = Options::new(dir.store());
    Ok(mainstay_snapshot::import(
        file,
        &options,
        &dir.applied,
        raise,
    )?)
}

pub fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| path.display().to_string())
}

/// Says on stdout what has been taken over.
pub fn report(dir: &NewDir, imported: &Imported) {
    println!(
        "restored {} keys and {} leases at revision {} into {} as member {:x} of cluster {:x}",
        imported.keys,
        imported.leases,
        imported.revision,
        dir.target().display(),
        dir.identity().member,
        dir.identity().cluster,
    );
    // Members take each other's word for what they begin with.
    println!("restore every other member of this cluster from the very same source");
}
