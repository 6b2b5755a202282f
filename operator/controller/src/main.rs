//! The operator's process.

use clap::Parser;
use mainstay_operator::options::{Command, Options};
use mainstay_operator::{agent, check, run};

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    mainstay_operator::log::open(&options.run.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match options.command {
            Some(Command::Agent(task)) => agent::run(task).await,
            Some(Command::Check(arguments)) => check::run(&arguments).await,
            None => run::run(options.run).await,
        }
    })
}
