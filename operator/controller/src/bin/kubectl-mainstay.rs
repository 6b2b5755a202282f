//! `kubectl mainstay`.

use clap::Parser;
use mainstay_operator::plugin::{self, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    plugin::run(Options::parse()).await
}
