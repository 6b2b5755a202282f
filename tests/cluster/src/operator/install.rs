//! The chart, installed as a user does it.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};

use super::Programs;
use crate::kubectl::Kubectl;
use crate::node::Node;
use crate::tools;

pub const NAMESPACE: &str = "mainstay-system";
const RELEASE: &str = "mainstay-operator";
/// helm gives up after this time; the operator is ready within seconds.
const HELM_LIMIT: &str = "120s";
const LIMIT: Duration = Duration::from_secs(60);

/// The installed chart.
pub struct Release<'a> {
    kubectl: Kubectl,
    programs: &'a Programs,
}

impl<'a> Release<'a> {
    pub fn new(node: &Node, programs: &'a Programs) -> Self {
        let kubectl = node.kubectl.clone();
        Self { kubectl, programs }
    }

    /// Installs it with the node's images and waits until the operator says that it is ready.
    pub fn install(&self) -> Result<()> {
        self.change("install", &[])
    }

    /// Installs or upgrades it with further values.
    pub fn change(&self, verb: &str, values: &[&str]) -> Result<()> {
        let chart = self.programs.checkout.join("charts/mainstay-operator");
        let mut helm = self.helm(&[verb, RELEASE]);
        helm.arg(chart).args([
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--set=image.repository=mainstay-operator",
            "--set=server.repository=mainstay",
            "--set=certManager.enabled=true",
            "--wait",
            "--timeout",
            HELM_LIMIT,
        ]);
        helm.args(values);
        match tools::output(&mut helm) {
            Ok(_) => Ok(()),
            Err(error) => {
                let pods = self.operator(&["describe", "pods"]);
                bail!(
                    "{error:#}\n{}",
                    pods.unwrap_or_else(|error| error.to_string())
                )
            }
        }
    }

    /// Uninstalls it. The definitions stay, and with them every cluster.
    pub fn uninstall(&self) -> Result<()> {
        tools::output(&mut self.helm(&["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait"]))?;
        let definition = ["get", "crd", "mainstayclusters.mainstay.dev", "-o=name"];
        self.kubectl.run(&definition).map(drop)
    }

    /// Waits until the operator serves.
    pub fn wait_ready(&self) -> Result<()> {
        let ready = [
            "get",
            "deployment",
            RELEASE,
            "--namespace",
            NAMESPACE,
            "-o=jsonpath={.status.readyReplicas}",
        ];
        let until = self
            .kubectl
            .until("the operator is ready", LIMIT, &ready, |text| text == "1");
        until.map(drop)
    }

    fn operator(&self, words: &[&str]) -> Result<String> {
        self.kubectl
            .run(&[words, &["--namespace", NAMESPACE]].concat())
    }

    fn helm(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.programs.helm);
        command
            .env("KUBECONFIG", &self.kubectl.kubeconfig)
            .args(words)
            .stdin(Stdio::null());
        command
    }
}
