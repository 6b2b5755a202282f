//! `kubectl mainstay`: looks at clusters and asks the operator for things. It speaks with the API
//! server only; what it asks for, the operator does, with its own care.

mod ask;
mod certificate;
mod report;
mod status;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use mainstay_operator_api::MainstayCluster;

/// Looks at Mainstay clusters and asks the operator for things.
#[derive(Debug, Parser)]
#[command(name = "kubectl mainstay", version)]
pub struct Options {
    /// Namespace of the cluster; that of the context if left out.
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long, global = true)]
    context: Option<String>,
    #[arg(long, global = true)]
    kubeconfig: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows a cluster, its members, and what is wrong.
    Status { cluster: String },
    /// Moves the leadership to another member.
    MoveLeader {
        cluster: String,
        /// Its name, such as `db-2`.
        member: String,
    },
    /// Changes a member.
    #[command(subcommand)]
    Member(Member),
    /// Writes the client certificate of root into files, and shows how it is used.
    Certificate {
        cluster: String,
        /// Folder for the files.
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
    /// Stops the pods and keeps the volumes.
    Hibernate {
        cluster: String,
        /// Brings the cluster back instead.
        #[arg(long)]
        wake: bool,
    },
    /// Collects what somebody who helps needs to see; no Secret is in it.
    Report {
        cluster: String,
        /// The file, as one YAML stream; standard output if left out.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Member {
    /// Replaces a member and its volume: it joins anew with empty hands.
    Replace {
        cluster: String,
        /// Its name, such as `db-2`.
        member: String,
    },
}

pub async fn run(options: Options) -> Result<()> {
    let config = config(&options).await?;
    let namespace = options.namespace.clone();
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let place = Place {
        client: Client::try_from(config)?,
        namespace,
    };
    match &options.command {
        Command::Status { cluster } => status::run(&place, cluster).await,
        Command::MoveLeader { cluster, member } => ask::move_leader(&place, cluster, member).await,
        Command::Member(Member::Replace { cluster, member }) => {
            ask::replace(&place, cluster, member).await
        }
        Command::Certificate { cluster, out } => certificate::run(&place, cluster, out).await,
        Command::Hibernate { cluster, wake } => ask::hibernate(&place, cluster, !wake).await,
        Command::Report { cluster, out } => report::run(&place, cluster, out.as_deref()).await,
    }
}

/// Where the cluster is.
struct Place {
    client: Client,
    namespace: String,
}

impl Place {
    fn clusters(&self) -> Api<MainstayCluster> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn cluster(&self, name: &str) -> Result<MainstayCluster> {
        let found = self.clusters().get_opt(name).await?;
        found.with_context(|| format!("there is no MainstayCluster {name} in {}", self.namespace))
    }
}

async fn config(options: &Options) -> Result<Config> {
    let choice = KubeConfigOptions {
        context: options.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = match &options.kubeconfig {
        Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &choice).await,
        None => Config::from_kubeconfig(&choice).await,
    };
    config.context("the kubeconfig cannot be used")
}
