//! `agent erase`: deletes a stored snapshot, as its resource asks for when it is deleted.

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
}

pub async fn run(arguments: &Arguments) -> Result<()> {
    arguments.store.open()?.delete(&arguments.name).await?;
    tracing::info!(name = arguments.name, "erased");
    Ok(())
}
