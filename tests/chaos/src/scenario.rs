//! The runs, one a file.

pub mod bootstrap;
pub mod disk_full;
pub mod faults;
pub mod malformed;
pub mod members;
pub mod planted;
pub mod quorum;
pub mod snapshot;

use std::{fs, io::BufReader};

use anyhow::{Context, bail};
use mainstay_model::History;

use crate::{options::Options, tally::Tally, verdict};

/// Runs the scenario of the command line. Its checks go into the tally.
///
/// # Errors
/// If it cannot be carried out on this machine.
pub async fn run(options: &Options, tally: &mut Tally) -> anyhow::Result<()> {
    if options.command == "check" {
        let path = options.file.as_ref().context("check needs a file")?;
        let file = fs::File::open(path).with_context(|| path.display().to_string())?;
        let history = History::read(BufReader::new(file))?;
        verdict::report(&history, options.known_defects(), tally);
        return Ok(());
    }
    if !options.bin.is_file() {
        bail!("no server at {:?}: set MAINSTAY_BIN or --bin", options.bin);
    }
    // A history begins with an empty store; what an earlier run of this seed left is in the way.
    if options.directory.exists() {
        fs::remove_dir_all(&options.directory)?;
    }
    fs::create_dir_all(&options.directory)?;
    match options.command.as_str() {
        "run" => faults::run(options, tally).await?,
        "planted" => planted::run(options, tally).await?,
        "malformed" => malformed::run(options, tally).await?,
        "disk-full" => disk_full::run(options, tally).await?,
        "snapshot" => snapshot::run(options, tally).await?,
        "quorum" => quorum::run(options, tally).await?,
        "bootstrap" => bootstrap::run(options, tally).await?,
        "members" => members::run(options, tally).await?,
        other => bail!("unknown command {other}"),
    }
    if tally.has_passed() && !options.keep {
        fs::remove_dir_all(&options.directory)?;
    }
    Ok(())
}
