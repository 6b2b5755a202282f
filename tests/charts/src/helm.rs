//! helm, as a user would run it on the chart.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xtask::places;

use crate::{manifest, tools};

/// The version of Kubernetes in `tests/peers`: helm knows none without an API server.
const KUBERNETES: &str = "1.34.4";
/// What the API server of somebody with the Prometheus operator knows.
const MONITORING: &[&str] = &["ServiceMonitor", "PodMonitor", "PrometheusRule"];

/// helm with the chart.
#[derive(Clone, Debug)]
pub struct Helm {
    program: PathBuf,
    pub chart: PathBuf,
}

/// Under which name and where the chart is installed.
pub const RELEASE: &str = "mainstay-operator";
pub const NAMESPACE: &str = "mainstay-system";

impl Helm {
    pub fn of_peers() -> Result<Helm> {
        let program = places::peers()?.join("helm");
        if !program.exists() {
            bail!("no {}: run `cargo xtask peers helm`", program.display());
        }
        Ok(Helm {
            program,
            chart: places::checkout()?.join("charts/mainstay-operator"),
        })
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Neither the user's repositories and plugins nor a cluster at hand play a part.
        for name in ["KUBECONFIG", "HELM_NAMESPACE", "HELM_PLUGINS"] {
            command.env_remove(name);
        }
        command
    }

    pub fn lint(&self, values: &[&str]) -> Result<()> {
        let mut command = self.command();
        command
            .args(["lint", "--strict", "--quiet"])
            .arg(&self.chart);
        command.args(["--kube-version", KUBERNETES]);
        command.args(sets(values));
        tools::output(&mut command).map(drop)
    }

    /// What the chart renders to with these `--set` values, tests included.
    pub fn template(&self, values: &[&str]) -> Result<Vec<Value>> {
        self.render(values, MONITORING)
    }

    /// The same where the Prometheus operator is not installed.
    pub fn template_without_monitoring(&self, values: &[&str]) -> Result<Vec<Value>> {
        self.render(values, &[])
    }

    fn render(&self, values: &[&str], monitoring: &[&str]) -> Result<Vec<Value>> {
        let text = tools::output(&mut self.templating(values, monitoring))?;
        manifest::objects(&text).with_context(|| format!("rendered with {values:?}"))
    }

    /// Why helm does not render the chart with these values.
    pub fn refusal(&self, values: &[&str]) -> Result<String> {
        let answer = tools::ask(&mut self.templating(values, MONITORING), "")?;
        if answer.succeeded {
            bail!("helm takes {values:?}");
        }
        Ok(answer.complaint)
    }

    fn templating(&self, values: &[&str], monitoring: &[&str]) -> Command {
        let mut command = self.command();
        command.args(["template", RELEASE]).arg(&self.chart);
        command.args(["--namespace", NAMESPACE, "--kube-version", KUBERNETES]);
        for kind in monitoring {
            command.args([
                "--api-versions",
                &format!("monitoring.coreos.com/v1/{kind}"),
            ]);
        }
        command.args(sets(values));
        command
    }
}

/// `--set` for each value; one that is JSON after the first `:=` is set as that.
pub fn sets(values: &[&str]) -> Vec<String> {
    let one = |value: &&str| match value.split_once(":=") {
        Some((path, json)) => ["--set-json".to_owned(), format!("{path}={json}")],
        None => ["--set".to_owned(), (*value).to_owned()],
    };
    values.iter().flat_map(one).collect()
}
