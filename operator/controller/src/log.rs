//! One JSON object a line, on standard error.

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// `levels` is a level, or levels by module: `info,kube=warn`.
pub fn open(levels: &str) -> Result<()> {
    let filter = EnvFilter::try_new(levels).with_context(|| format!("--log-level={levels}"))?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| anyhow::anyhow!("the log cannot be opened: {error}"))
}
