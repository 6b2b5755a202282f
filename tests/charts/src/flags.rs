//! The command lines of the chart are those that the operator takes.

use anyhow::{Result, bail};
use serde_json::Value;
use xtask::places;

use crate::helm::Helm;
use crate::{chart, manifest};

/// Values that bring in every flag that the chart can set.
const ALL: &[&str] = &["watchNamespaces={a}", "clusterDomain=k8s.example"];

/// Each flag is a field of `options.rs`, and the test's subcommand is one of its commands.
pub fn check(helm: &Helm) -> Result<()> {
    let source =
        std::fs::read_to_string(places::checkout()?.join("operator/controller/src/options.rs"))?;
    let objects = helm.template(ALL)?;
    let deployment = manifest::the(&objects, "Deployment")?;
    let arguments = manifest::texts(&chart::container(deployment)["args"]);
    for argument in &arguments {
        let name = argument
            .trim_start_matches("--")
            .split('=')
            .next()
            .unwrap_or_default();
        let field = format!("pub {}: ", name.replace('-', "_"));
        if !source.contains(&field) && !source.contains(&format!("long = \"{name}\"")) {
            bail!("the operator has no flag --{name}");
        }
    }
    let test = objects
        .iter()
        .find(|object| manifest::kind(object) == "Pod");
    let words = test.map(|pod| manifest::texts(&pod["spec"]["containers"][0]["args"]));
    if words
        .as_ref()
        .and_then(|words| words.first())
        .map(String::as_str)
        != Some("check")
    {
        bail!("the test runs {words:?}");
    }
    if !source.contains("Check(") {
        bail!("the operator has no subcommand check");
    }
    Ok(())
}

/// The probes ask the port that the operator is told to listen on.
pub fn ports(helm: &Helm) -> Result<()> {
    let objects = helm.template(&[])?;
    let container = chart::container(manifest::the(&objects, "Deployment")?).clone();
    let port = &container["ports"][0];
    let listen = format!("--listen=0.0.0.0:{}", port["containerPort"]);
    if !manifest::texts(&container["args"]).contains(&listen) {
        bail!("the operator does not listen on {port}");
    }
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        if container[probe]["httpGet"]["port"] != port["name"] {
            bail!("{probe} asks another port");
        }
    }
    let service = manifest::the(&objects, "Service")?;
    let labels: &Value =
        &manifest::the(&objects, "Deployment")?["spec"]["template"]["metadata"]["labels"];
    let selector = service["spec"]["selector"].as_object();
    if !selector.is_some_and(|all| all.iter().all(|(key, value)| labels[key] == *value)) {
        bail!("the Service selects other pods");
    }
    if service["spec"]["ports"][0]["targetPort"] != port["name"] {
        bail!("the Service leads to another port");
    }
    Ok(())
}
