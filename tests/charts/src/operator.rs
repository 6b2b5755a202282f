//! The operator itself under the account, the rights and the flags that the chart gives it. No kubelet
//! runs, so no member comes up: what is tested is that nothing is forbidden on the way to the pods.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use xtask::{places, process};

use crate::helm::{Helm, NAMESPACE, RELEASE};
use crate::kubernetes::{Kubernetes, free_port};
use crate::samples::{self, PLACE, cluster};
use crate::{chart, manifest, tools};

/// How long each thing that the operator does may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Dropping it ends the process.
struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn run(helm: &Helm, server: &Kubernetes) -> Result<()> {
    samples::place(server)?;
    let folder = tempfile::Builder::new()
        .prefix("mainstay-operator-")
        .tempdir()?;
    let log = folder.path().join("log");
    let done = work(helm, server, folder.path(), &log);
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let tail: Vec<&str> = text.lines().rev().take(10).collect();
    done.with_context(|| tail.join("\n"))?;
    if let Some(line) = text
        .lines()
        .find(|line| line.to_lowercase().contains("forbidden"))
    {
        bail!("the operator lacks a right: {line}");
    }
    Ok(())
}

fn work(helm: &Helm, server: &Kubernetes, folder: &Path, log: &Path) -> Result<()> {
    let port = free_port()?;
    let mut operator = start(helm, server, folder, log, port)?;
    let program = program()?;
    let url = format!("--url=http://127.0.0.1:{port}/readyz");
    tools::output(Command::new(&program).args(["check", &url]))?;
    lease(server, "the operator takes the Lease", |holder| {
        !holder.is_empty()
    })?;
    server.apply(PLACE, &[cluster("formed", json!({}))])?;
    let workload = ["get", "statefulset", "formed", "-n", PLACE];
    process::wait_until("a StatefulSet for the cluster", LIMIT, || {
        alive(&mut operator)?;
        Ok(server.ask(&workload, "")?.succeeded)
    })?;
    let events = ["get", "events.events.k8s.io", "-n", PLACE, "-o", "json"];
    process::wait_until("an Event about the cluster", LIMIT, || {
        let events: Value = serde_json::from_str(&server.run(&events)?)?;
        let all = events["items"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        Ok(all
            .iter()
            .any(|event| event["regarding"]["name"] == "formed"))
    })?;
    process::terminate(operator.0.id());
    process::wait_until("the operator ends", LIMIT, || {
        Ok(operator.0.try_wait()?.is_some())
    })?;
    let status = operator.0.wait()?;
    if !status.success() {
        bail!("the operator ended with {status}");
    }
    lease(server, "the Lease is given back", str::is_empty)?;
    // The next installation begins without this cluster, and nobody is there to clear up after it.
    let free = r#"{"metadata":{"finalizers":null}}"#;
    server.run(&[
        "patch",
        "msc",
        "formed",
        "-n",
        PLACE,
        "--type=merge",
        "-p",
        free,
    ])?;
    server
        .run(&["delete", "msc", "formed", "-n", PLACE])
        .map(drop)
}

fn program() -> Result<std::path::PathBuf> {
    let program = places::built("debug", "mainstay-operator")?;
    if !program.exists() {
        bail!(
            "no {}: the suite `build` leaves it there",
            program.display()
        );
    }
    Ok(program)
}

/// The chart's command line with its account's token, on a port of this machine.
fn start(
    helm: &Helm,
    server: &Kubernetes,
    folder: &Path,
    log: &Path,
    port: u16,
) -> Result<Operator> {
    let token = server.run(&["create", "token", RELEASE, "-n", NAMESPACE])?;
    let kubeconfig = folder.join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig_of(token.trim(), NAMESPACE))?;
    let objects = helm.template(&[])?;
    let container = chart::container(manifest::the(&objects, "Deployment")?).clone();
    let arguments = manifest::texts(&container["args"]).into_iter();
    let arguments = arguments.filter(|argument| !argument.starts_with("--listen="));
    let output = File::create(log)?;
    let child = Command::new(program()?)
        .args(arguments)
        .arg(format!("--listen=127.0.0.1:{port}"))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn();
    Ok(Operator(child.context("cannot run the operator")?))
}

fn alive(operator: &mut Operator) -> Result<()> {
    match operator.0.try_wait()? {
        Some(status) => bail!("the operator ended with {status}"),
        None => Ok(()),
    }
}

/// Waits for a holder of the Lease as it is wanted.
fn lease(server: &Kubernetes, what: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let field = "jsonpath={.spec.holderIdentity}";
    let words = ["get", "lease", RELEASE, "-n", NAMESPACE, "-o", field];
    process::wait_until(what, LIMIT, || {
        let answer = server.ask(&words, "")?;
        Ok(answer.succeeded && wanted(answer.output.trim()))
    })
    .map(drop)
}
