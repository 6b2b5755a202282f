//! The chart on a real API server: installed, upgraded, taken away and brought back; whether its pods
//! pass Pod Security.

use anyhow::{Context, Result, bail};
use serde_json::json;
use xtask::places;

use crate::helm::{Helm, NAMESPACE, RELEASE};
use crate::kubernetes::Kubernetes;
use crate::samples::{self, PLACE, cluster};
use crate::{manifest, switches};

/// A namespace in which only pods that pass the strictest level are admitted.
pub fn restricted(server: &Kubernetes, name: &str) -> Result<()> {
    let levels = json!({
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    });
    let metadata = json!({"name": name, "labels": levels});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
    server.apply("default", &[namespace])
}

/// The base is whole: the API server takes it as it is, and it makes a ready installation.
pub fn kustomize(server: &Kubernetes) -> Result<()> {
    let base = places::checkout()?.join("deploy/kustomize/base");
    let base = base.display().to_string();
    // Objects in a namespace can only be tried once that is there.
    server.run(&[
        "apply",
        "--server-side",
        "-f",
        &format!("{base}/namespace.yaml"),
    ])?;
    let words = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "-k",
        &base,
    ];
    let answer = server.ask(&words, "")?;
    if !answer.succeeded || answer.complaint.contains("Warning:") {
        bail!("{}", answer.complaint);
    }
    for wanted in [
        "deployment.apps/mainstay-operator",
        "mainstayclusters.mainstay.dev",
    ] {
        if !answer.output.contains(wanted) {
            bail!("the base holds no {wanted}");
        }
    }
    Ok(())
}

pub fn install(helm: &Helm, server: &Kubernetes) -> Result<()> {
    restricted(server, NAMESPACE)?;
    let chart = helm.chart.display().to_string();
    let notes = server.helm(
        helm,
        &["install", RELEASE, &chart, "--namespace", NAMESPACE],
    )?;
    for wanted in [
        "kind: MainstayCluster",
        "helm test mainstay-operator --namespace mainstay-system",
    ] {
        if !notes.contains(wanted) {
            bail!("the notes lack {wanted:?}: {notes}");
        }
    }
    if notes.contains("WARNING") {
        bail!("the notes warn: {notes}");
    }
    samples::established(server)
}

/// A second run changes nothing but the release's own number.
pub fn upgrade(helm: &Helm, server: &Kubernetes) -> Result<()> {
    let generation = || {
        let field = "jsonpath={.items[*].metadata.generation}";
        server.run(&["get", "crd,deployment", "-n", NAMESPACE, "-o", field])
    };
    let before = generation()?;
    let chart = helm.chart.display().to_string();
    let words = ["upgrade", RELEASE, &chart, "--namespace", NAMESPACE];
    server.helm(helm, &words)?;
    if generation()? != before {
        bail!("an upgrade to the same chart changes objects");
    }
    let notes = server.helm(
        helm,
        &[&words[..], &["--set", "monitoring.rules.enabled=true"]].concat(),
    )?;
    if !notes.contains("WARNING: no PrometheusRule was made") {
        bail!("a rule that was left out is not told of: {notes}");
    }
    server.helm(helm, &words).map(drop)
}

/// Pods as the chart makes them are admitted where only the strictest level is.
pub fn pod_security(helm: &Helm, server: &Kubernetes) -> Result<()> {
    let objects = helm.template(&[])?;
    let deployment = manifest::the(&objects, "Deployment")?;
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "operator", "namespace": NAMESPACE},
        "spec": deployment["spec"]["template"]["spec"],
    });
    let mut test = manifest::the(&objects, "Pod")?.clone();
    test["metadata"]["name"] = json!("test");
    server.validate(None, &[pod.clone(), test])?;
    let mut loose = pod;
    loose["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let refusal = server.refusal(NAMESPACE, &loose)?;
    if !refusal.contains("violates PodSecurity") {
        bail!("Pod Security is not looked at: {refusal}");
    }
    Ok(())
}

/// The API server takes what every set of values renders. A refusal names an object whose name ends
/// in the number of its set.
pub fn every_switch(helm: &Helm, server: &Kubernetes) -> Result<()> {
    let sets = switches::all(helm)?;
    let mut all = Vec::new();
    for (number, set) in sets.iter().enumerate() {
        let words: Vec<&str> = set.iter().map(String::as_str).collect();
        let mut objects = helm.template(&words)?;
        // The definitions are the same each time, and the release owns them by now.
        objects.retain(|object| manifest::kind(object) != "CustomResourceDefinition");
        for object in &mut objects {
            let name = format!("{}-{number}", manifest::name(object));
            object["metadata"]["name"] = json!(name);
        }
        all.extend(objects);
    }
    let numbered = || {
        let lines = sets.iter().enumerate();
        let lines = lines.map(|(number, set)| format!("{number}: {set:?}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    server.validate(None, &all).with_context(numbered)
}

/// Clusters outlive the release, and the same release takes their definitions up again.
pub fn reinstall(helm: &Helm, server: &Kubernetes) -> Result<()> {
    samples::place(server)?;
    server.apply(PLACE, &[cluster("kept", json!({"replicas": 1}))])?;
    let uid = || {
        server.run(&[
            "get",
            "msc",
            "kept",
            "-n",
            PLACE,
            "-o",
            "jsonpath={.metadata.uid}",
        ])
    };
    let before = uid()?;
    server.helm(helm, &["uninstall", RELEASE, "--namespace", NAMESPACE])?;
    let left = server.run(&[
        "get",
        "deployments,roles,services",
        "-n",
        NAMESPACE,
        "-o",
        "name",
    ])?;
    if !left.is_empty() {
        bail!("the release leaves {left:?}");
    }
    if uid()? != before {
        bail!("the cluster went with the release");
    }
    install(helm, server)?;
    if uid()? != before {
        bail!("the cluster went when the release came back");
    }
    server
        .run(&["delete", "msc", "kept", "-n", PLACE])
        .map(drop)
}
