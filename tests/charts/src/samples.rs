//! The samples and the face of the resources: what `kubectl` shows of them, and takes.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use xtask::places;

use crate::kubernetes::Kubernetes;
use crate::{manifest, tools};

/// Modules whose definitions `tests/peers/definitions` pins, where those lie, and which are used.
const OTHERS: &[(&str, &str, &[&str])] = &[
    (
        "github.com/cert-manager/cert-manager",
        "deploy/crds",
        &["cert-manager.io_certificates", "cert-manager.io_issuers"],
    ),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd",
        &[
            "monitoring.coreos.com_podmonitors",
            "monitoring.coreos.com_prometheusrules",
            "monitoring.coreos.com_servicemonitors",
        ],
    ),
];

/// Where samples are validated and clusters are made; nothing runs there.
pub const PLACE: &str = "samples";

/// Installs the definitions of cert-manager and of the Prometheus operator, by their Go modules.
pub fn definitions(server: &Kubernetes) -> Result<()> {
    for (module, folder, files) in OTHERS {
        let mut command = Command::new("go");
        command.args(["mod", "download", "-json", module]);
        command.current_dir(places::checkout()?.join("tests/peers/definitions"));
        let answer: Value = serde_json::from_str(&tools::output(&mut command)?)?;
        let root = answer["Dir"].as_str().context("go tells no folder")?;
        for file in *files {
            let path = format!("{root}/{folder}/{file}.yaml");
            server.run(&["apply", "--server-side", "-f", &path])?;
        }
    }
    established(server)
}

/// Waits until the API server serves every definition.
pub fn established(server: &Kubernetes) -> Result<()> {
    let words = [
        "wait",
        "--for=condition=established",
        "--timeout=30s",
        "crd",
        "--all",
    ];
    server.run(&words).map(drop)
}

/// The API server takes every object of every sample, each file by itself.
pub fn check(server: &Kubernetes) -> Result<()> {
    place(server)?;
    let mut files = 0;
    for entry in std::fs::read_dir(places::checkout()?.join("deploy/samples"))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        if !text.starts_with("# ") {
            bail!("{} does not say what it is for", path.display());
        }
        let objects = manifest::objects(&text)?;
        if objects
            .iter()
            .any(|object| manifest::namespace(object).is_some())
        {
            bail!("{} names a namespace", path.display());
        }
        let done = server.validate(Some(PLACE), &objects);
        done.with_context(|| path.display().to_string())?;
        files += 1;
    }
    if files < 6 {
        bail!("only {files} samples");
    }
    Ok(())
}

pub fn place(server: &Kubernetes) -> Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}});
    server.apply("default", &[namespace])
}

pub fn cluster(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "mainstay.dev/v1alpha1",
        "kind": "MainstayCluster",
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// Columns, short names, the scale subresource, defaults and explanations.
pub fn interface(server: &Kubernetes) -> Result<()> {
    place(server)?;
    server.apply(PLACE, &[cluster("shown", json!({}))])?;
    let status = r#"{"status":{"ready":"2/3","replicas":3,"readyReplicas":2,"leader":"shown-1","version":"0.1.0","phase":"Degraded"}}"#;
    let patch = [
        "patch",
        "msc",
        "shown",
        "-n",
        PLACE,
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
    ];
    server.run(&patch)?;
    let table = server.run(&["get", "msc", "-n", PLACE])?;
    let mut lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let head = lines.next().context("no heading")?;
    if head
        != [
            "NAME", "READY", "MEMBERS", "VERSION", "LEADER", "STATUS", "AGE",
        ]
    {
        bail!("the columns are {head:?}");
    }
    let row = lines
        .find(|row| row.first() == Some(&"shown"))
        .context("no row")?;
    if row.get(..6) != Some(&["shown", "2/3", "3", "0.1.0", "shown-1", "Degraded"]) {
        bail!("the row is {row:?}");
    }
    server.run(&["scale", "msc", "shown", "-n", PLACE, "--replicas=5"])?;
    let replicas = [
        "get",
        "msc",
        "shown",
        "-n",
        PLACE,
        "-o",
        "jsonpath={.spec.replicas} {.spec.storage.size}",
    ];
    let found = server.run(&replicas)?;
    if found != "5 8Gi" {
        bail!("replicas and default size are {found:?}");
    }
    let refused = server.ask(&["scale", "msc", "shown", "-n", PLACE, "--replicas=0"], "")?;
    if refused.succeeded || !refused.complaint.contains("set hibernated") {
        bail!("scaled to nothing: {}", refused.complaint);
    }
    let all = server.run(&["get", "mainstay", "-n", PLACE, "-o", "name"])?;
    if !all.contains("mainstaycluster.mainstay.dev/shown") {
        bail!("the category mainstay holds {all:?}");
    }
    let text = server.run(&["explain", "msc.spec.storage.size"])?;
    if !text.contains("never shrink") {
        bail!("explain says {text:?}");
    }
    server
        .run(&["delete", "msc", "shown", "-n", PLACE])
        .map(drop)
}
