//! kubectl against the node, as a user would run it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xtask::process;

/// kubectl with the administrator's rights.
#[derive(Clone, Debug)]
pub struct Kubectl {
    pub program: PathBuf,
    pub kubeconfig: PathBuf,
    /// Where commands that name none look; `default` if this is none either.
    pub namespace: Option<String>,
}

impl Kubectl {
    /// The same in another namespace.
    pub fn within(&self, namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..self.clone()
        }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let namespace = self.namespace.iter();
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .args(namespace.map(|name| format!("--namespace={name}")))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Standard output of a command that must succeed.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        crate::tools::output(&mut self.command(arguments))
    }

    /// The JSON that a command prints.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.run(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?} is not JSON"))
    }

    /// Applies objects, server-side. Manifests are JSON, which is YAML too.
    pub fn apply(&self, objects: &[Value]) -> Result<()> {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let mut command = self.command(&["apply", "--server-side", "--force-conflicts", "-f", "-"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot run kubectl")?;
        let mut input = child.stdin.take().context("kubectl has no input")?;
        input.write_all(list.to_string().as_bytes())?;
        drop(input);
        let done = child.wait_with_output()?;
        if !done.status.success() {
            bail!(
                "kubectl apply: {}",
                String::from_utf8_lossy(&done.stderr).trim()
            );
        }
        Ok(())
    }

    /// Waits until a command succeeds and its output satisfies the condition; the error at the end
    /// quotes the last answer.
    pub fn until(
        &self,
        what: &str,
        limit: Duration,
        arguments: &[&str],
        condition: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let mut last = String::new();
        let waited = process::wait_until(what, limit, || {
            let answer = self.run(arguments);
            let holds = answer.as_ref().is_ok_and(|text| condition(text));
            last = answer.unwrap_or_else(|error| format!("{error:#}"));
            Ok(holds)
        });
        waited
            .map(|_| ())
            .with_context(|| format!("the last answer was: {}", last.trim()))?;
        Ok(last)
    }
}
