//! `values.yaml` and its schema: every value is described in both, and wrong ones are refused.

use anyhow::{Result, bail};
use serde_json::Value;

use crate::helm::Helm;

/// Values that the schema refuses, and a word of the refusal.
const REFUSED: &[(&str, &str)] = &[
    ("replicas=9", "replicas"),
    ("replicas=-1", "replicas"),
    ("replicas=two", "replicas"),
    ("replica=1", "replica"),
    ("image.pullPolicy=Sometimes", "pullPolicy"),
    ("image.repository=", "repository"),
    ("image.digest=sha256:abc", "digest"),
    ("image.name=x", "name"),
    ("watchNamespaces={Team}", "watchNamespaces"),
    ("watchNamespaces={a,a}", "watchNamespaces"),
    ("crds.install=yes", "install"),
    ("crds.keep=true", "keep"),
    ("concurrency=0", "concurrency"),
    ("extraArgs={verbose}", "extraArgs"),
    ("extraEnv:=[{\"value\":\"x\"}]", "extraEnv"),
    ("imagePullSecrets={secret}", "imagePullSecrets"),
    ("podLabels.app\\.kubernetes\\.io/name=x", "propertyName"),
    ("service.port=70000", "port"),
    ("networkPolicy.apiServerPorts:=[]", "apiServerPorts"),
    ("monitoring.serviceMonitor.interval=often", "interval"),
    ("monitoring.rules.runbook=page", "runbook"),
    ("fullnameOverride=Upper", "fullnameOverride"),
];

pub fn refused(helm: &Helm) -> Result<()> {
    for (value, word) in REFUSED {
        let refusal = helm.refusal(&[value])?;
        if !refusal.contains("specifications of the schema") || !refusal.contains(word) {
            bail!("{value}: {refusal}");
        }
    }
    Ok(())
}

/// Every key of `values.yaml` has a comment above it and a description in the schema, and the other
/// way round.
pub fn described(helm: &Helm) -> Result<()> {
    let text = std::fs::read_to_string(helm.chart.join("values.yaml"))?;
    let mut before = "";
    for line in text.lines() {
        let is_key =
            line.trim_end().split_once(':').is_some() && !line.trim_start().starts_with('#');
        // Defaults below a free-form value are examples of Kubernetes' own fields.
        let depth = line.len() - line.trim_start().len();
        let described = before.trim_start().starts_with('#');
        if is_key && !described && !is_inside_free_form(&text, line, depth) {
            bail!("values.yaml: no comment above {line:?}");
        }
        before = line;
    }
    let values: Value = serde_yaml::from_str(&text)?;
    let schema = std::fs::read_to_string(helm.chart.join("values.schema.json"))?;
    compare(&values, &serde_json::from_str(&schema)?, "")
}

fn is_inside_free_form(text: &str, line: &str, depth: usize) -> bool {
    const FREE: &[&str] = &["resources:", "labels:"];
    let before = text.lines().take_while(|other| !std::ptr::eq(*other, line));
    let mut parent = "";
    for other in before {
        let indent = other.len() - other.trim_start().len();
        let is_key = !other.trim_start().starts_with('#') && !other.trim().is_empty();
        if is_key && indent < depth && (indent == 0 || FREE.contains(&other.trim())) {
            parent = other.trim();
        }
    }
    depth > 0 && FREE.contains(&parent)
}

fn compare(value: &Value, schema: &Value, path: &str) -> Result<()> {
    if !path.is_empty() && schema["description"].as_str().is_none_or(str::is_empty) {
        bail!("values.schema.json: no description of {path}");
    }
    if schema["type"].is_null() && schema["enum"].is_null() {
        bail!("values.schema.json: no type of {path}");
    }
    let Some(properties) = schema["properties"].as_object() else {
        return Ok(());
    };
    if schema["additionalProperties"] != false {
        bail!("values.schema.json: {path} takes any property");
    }
    for (name, field) in properties {
        let path = format!("{path}.{name}");
        match value.get(name) {
            Some(value) => compare(value, field, &path)?,
            // helm's own, given by charts that hold this one.
            None if name == "global" => {}
            None => bail!("values.yaml: {path} has no default"),
        }
    }
    Ok(())
}

/// The paths of all switches, with their defaults.
pub fn switches(helm: &Helm) -> Result<Vec<(String, bool)>> {
    let text = std::fs::read_to_string(helm.chart.join("values.yaml"))?;
    let mut found = Vec::new();
    collect(&serde_yaml::from_str(&text)?, "", &mut found);
    Ok(found)
}

fn collect(value: &Value, path: &str, found: &mut Vec<(String, bool)>) {
    match value {
        Value::Bool(default) => found.push((path.to_owned(), *default)),
        Value::Object(fields) => {
            for (name, field) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                collect(field, &format!("{path}{dot}{name}"), found);
            }
        }
        _ => {}
    }
}
