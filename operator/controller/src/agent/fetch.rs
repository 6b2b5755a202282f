//! `agent fetch`: a stored snapshot into a file, for a restore.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::Store;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    store: Store,
    /// Under which name it is stored.
    #[arg(long)]
    name: String,
    /// The file.
    #[arg(long)]
    to: PathBuf,
}

pub async fn run(arguments: &Arguments) -> Result<()> {
    let store = arguments.store.open()?;
    store.get(&arguments.name, &arguments.to).await?;
    tracing::info!(name = arguments.name, "fetched");
    Ok(())
}
