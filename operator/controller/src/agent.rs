//! What the operator's jobs run inside of their pods: they have the members' network and the
//! volumes, which the operator itself need not reach.

mod backup;
mod destination;
mod erase;
mod fetch;

use std::path::PathBuf;

use anyhow::Result;
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
    /// Where the volume of the destination is mounted.
    #[arg(long, default_value = "/backup")]
    volume: PathBuf,
}

impl Store {
    fn open(&self) -> Result<Destination> {
        Destination::open(&self.destination, &self.volume)
    }
}

pub async fn run(task: Task) -> Result<()> {
    match task {
        Task::Backup(arguments) => backup::run(&arguments).await,
        Task::Fetch(arguments) => fetch::run(&arguments).await,
        Task::Erase(arguments) => erase::run(&arguments),
    }
}
