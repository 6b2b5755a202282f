//! What the operator's jobs run inside of their pods: they have the members' network and the
//! volumes, which the operator itself need not reach.

mod backup;
mod destination;
mod erase;
mod fetch;
mod s3;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

pub use backup::Outcome;
use destination::Destination;

#[derive(Debug, Subcommand)]
pub enum Task {
    /// Takes a snapshot of a cluster, stores it, and reads it back.
    Backup(backup::Arguments),
    /// Brings a stored snapshot into a file.
    Fetch(fetch::Arguments),
    /// Deletes a stored snapshot.
    Erase(erase::Arguments),
}

/// Where snapshots lie.
#[derive(Clone, Debug, Args)]
pub struct Store {
    /// The resource's `destination` as JSON.
    #[arg(long)]
    destination: String,
    /// Where the volume of the destination is mounted, if it is one.
    #[arg(long, default_value = "/backup")]
    volume: PathBuf,
    /// Where the Secret with the store's credentials is mounted, if it is no volume.
    #[arg(long, default_value = "/credentials")]
    credentials: PathBuf,
}

impl Store {
    fn open(&self) -> Result<Destination> {
        Destination::open(&self.destination, &self.volume, &self.credentials)
    }
}

pub async fn run(task: Task) -> Result<()> {
    match task {
        Task::Backup(arguments) => backup::run(&arguments).await,
        Task::Fetch(arguments) => fetch::run(&arguments).await,
        Task::Erase(arguments) => erase::run(&arguments).await,
    }
}

/// Hands words to the operator by way of the kubelet.
fn hand_over(outcome: &Path, text: &str) {
    if let Err(error) = std::fs::write(outcome, text) {
        tracing::warn!(%error, "the outcome could not be handed over");
    }
}

/// The text of a file without the line end that editors put there.
fn text(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.trim_end_matches('\n').to_owned())
}
