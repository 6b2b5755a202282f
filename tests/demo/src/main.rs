//! `mainstay-fleet`: what `cargo xtask demo` runs. README.md beside this folder walks through it.

mod controller;
mod fleet;
mod table;
mod worker;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use mainstay_client::Client;

/// A fleet of worker processes that is kept as its keys say.
#[derive(Parser)]
struct Arguments {
    /// Members to talk to, `host:port,...`.
    #[arg(long, global = true, default_value = "127.0.0.1:2379")]
    endpoints: String,
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Keep the fleet as it is wanted, while this replica leads.
    Controller {
        /// What this replica is called in the election.
        #[arg(long)]
        name: String,
    },
    /// Be one worker; a controller starts it.
    Worker {
        #[arg(long)]
        name: String,
        #[arg(long)]
        job: String,
        /// The lease that holds the worker's key, in hex.
        #[arg(long)]
        lease: String,
    },
    /// Show what is wanted, what is, and what happens.
    Table,
    /// End all workers.
    Stop,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let endpoints = arguments.endpoints;
    let client = Client::builder().endpoints(endpoints.split(',')).build()?;
    match arguments.role {
        Role::Controller { name } => controller::run(client, endpoints, name).await,
        Role::Worker { name, job, lease } => worker::run(client, name, job, &lease).await,
        Role::Table => table::run(client).await,
        Role::Stop => fleet::stop(&client).await,
    }
}
