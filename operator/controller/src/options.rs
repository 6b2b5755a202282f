//! The flags of the operator.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Runs Mainstay clusters on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "mainstay-operator", version)]
pub struct Options {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: Run,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// What the operator's jobs run.
    #[command(subcommand)]
    Agent(crate::agent::Task),
    /// Asks an operator whether it is ready.
    Check(crate::check::Arguments),
}

/// How the operator itself runs.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Namespace to look after; may be given several times. All of them if left out.
    #[arg(long = "namespace")]
    pub namespaces: Vec<String>,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Namespace of the Lease; that of the operator's own service account if left out.
    #[arg(long)]
    pub lease_namespace: Option<String>,
    /// Name of the Lease that one of several operators holds.
    #[arg(long, default_value = "mainstay-operator")]
    pub lease_name: String,
    /// Name under which this process holds the Lease; its host name if left out.
    #[arg(long)]
    pub identity: Option<String>,
    /// Repository of the server's image for clusters that name none.
    #[arg(long, default_value = "ghcr.io/mainstay/mainstay")]
    pub server_repository: String,
    /// Image of the operator, for the jobs it starts.
    #[arg(long)]
    pub operator_image: Option<String>,
    /// Domain of DNS inside of Kubernetes; that of `/etc/resolv.conf` if left out.
    #[arg(long)]
    pub cluster_domain: Option<String>,
    /// Objects that are worked on at the same time.
    #[arg(long, default_value_t = 4)]
    pub concurrency: u16,
    /// Access to the API server from outside of Kubernetes.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// What is logged: a level, or levels by module.
    #[arg(long, default_value = "info,kube=warn")]
    pub log_level: String,
}

/// The domain under which `svc` lies, by the search list of a pod.
pub fn domain(resolv_conf: &str) -> Option<String> {
    let searches = resolv_conf
        .lines()
        .filter_map(|line| line.strip_prefix("search"));
    let mut names = searches.flat_map(str::split_whitespace);
    names.find_map(|name| {
        name.strip_prefix("svc.")
            .map(|rest| rest.trim_end_matches('.').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_that_of_the_search_list() {
        let text =
            "nameserver 10.96.0.10\nsearch prod.svc.k8s.example svc.k8s.example k8s.example\n";
        assert_eq!(domain(text).as_deref(), Some("k8s.example"));
        assert_eq!(domain("search example.com\n"), None);
    }

    #[test]
    fn no_argument_runs_the_operator() {
        let options = Options::try_parse_from(["mainstay-operator"]).unwrap();
        assert!(options.command.is_none() && options.run.namespaces.is_empty());
        let two = ["x", "--namespace=a", "--namespace=b"];
        let options = Options::try_parse_from(two).unwrap();
        assert_eq!(options.run.namespaces, ["a", "b"]);
    }
}
