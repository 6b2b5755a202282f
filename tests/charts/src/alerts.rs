//! Alerts and dashboard: syntax by promtool, names by what members and operator really show, and a
//! section of the runbook for every alert.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xtask::places;

use crate::tools;

const OPERATOR: &str = "operator/controller/src/metrics.rs";
/// Where each product's metrics are declared, by the begin of their names.
const SOURCES: &[(&str, &str)] = &[
    ("mainstay_operator_", OPERATOR),
    ("mainstay_", "store"),
    ("etcd_", "store"),
    ("grpc_", "store"),
    ("process_", "store"),
];
/// What the text format adds to the names of histograms, and to the names of the operator's counters
/// and units.
const ROWS: &[&str] = &["_bucket", "_count", "_sum"];
const UNITS: &[&str] = &["_total", "_seconds"];

fn folder() -> Result<PathBuf> {
    Ok(places::checkout()?.join("deploy/monitoring"))
}

fn promtool() -> Result<Command> {
    let program = places::peers()?.join("promtool");
    if !program.exists() {
        bail!("no {}: run `cargo xtask peers promtool`", program.display());
    }
    Ok(Command::new(program))
}

/// Rules are valid, and fire on what their test file says and on nothing else.
pub fn rules() -> Result<()> {
    let folder = folder()?;
    let mut check = promtool()?;
    check.args(["check", "rules", "--lint=all", "--lint-fatal"]);
    tools::output(check.arg(folder.join("alerts.yaml")))?;
    let mut test = promtool()?;
    tools::output(
        test.args(["test", "rules"])
            .arg(folder.join("alerts.test.yaml")),
    )?;
    Ok(())
}

/// Every query of the dashboard is one that Prometheus understands.
pub fn dashboard() -> Result<()> {
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    for (at, query) in queries()?.iter().enumerate() {
        // Grafana's variables, with something in their place.
        let query = query.replace("$__rate_interval", "5m");
        writeln!(
            rules,
            "  - record: panel_{at}\n    expr: {}",
            Value::String(query)
        )?;
    }
    let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    std::fs::write(file.path(), rules)?;
    let mut check = promtool()?;
    tools::output(
        check
            .args(["check", "rules", "--lint=none"])
            .arg(file.path()),
    )?;
    Ok(())
}

/// The queries of all panels.
fn queries() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(folder()?.join("dashboard.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let mut found = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if targets.is_empty() || panel["description"].as_str().is_none_or(str::is_empty) {
            bail!(
                "the panel {} has no query or no description",
                panel["title"]
            );
        }
        for target in targets {
            let query = target["expr"]
                .as_str()
                .context("a query without an expression")?;
            found.push(query.to_owned());
        }
    }
    Ok(found)
}

fn alerts() -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(folder()?.join("alerts.yaml"))?;
    let file: Value = serde_yaml::from_str(&text)?;
    let groups = file["groups"].as_array().context("no groups")?;
    let rules = groups.iter().filter_map(|group| group["rules"].as_array());
    Ok(rules.flatten().cloned().collect())
}

/// Every metric that is asked for is declared in the product that shows it.
pub fn names() -> Result<()> {
    let mut asked = BTreeSet::new();
    for alert in alerts()? {
        let query = alert["expr"]
            .as_str()
            .context("an alert without an expression")?;
        asked.extend(metrics(query));
    }
    for query in queries()? {
        asked.extend(metrics(&query));
    }
    let root = places::checkout()?;
    let store = sources(&root.join("store"))?;
    let operator = std::fs::read_to_string(root.join(OPERATOR))?;
    for name in &asked {
        let source = SOURCES.iter().find(|(prefix, _)| name.starts_with(prefix));
        let (_, place) = source.with_context(|| format!("nobody shows {name}"))?;
        let text = if *place == "store" { &store } else { &operator };
        if !spellings(name).any(|name| text.contains(&format!("\"{name}\""))) {
            bail!("{name} is not declared in {place}");
        }
    }
    // A mistake in finding them would otherwise pass as a success.
    if asked.len() < 30 {
        bail!("only {} metrics are asked for", asked.len());
    }
    Ok(())
}

/// How a metric of this name may be declared: without what the format adds, and, in the operator,
/// without the begin that all its names have.
fn spellings(name: &str) -> impl Iterator<Item = &str> {
    let row = ROWS.iter().find_map(|row| name.strip_suffix(row));
    let named = [Some(name), row];
    named.into_iter().flatten().flat_map(|name| {
        let own = name.strip_prefix("mainstay_operator_");
        let unit = own.and_then(|own| UNITS.iter().find_map(|unit| own.strip_suffix(unit)));
        [Some(name), own, unit].into_iter().flatten()
    })
}

/// The names in a query that begin like one of ours.
fn metrics(query: &str) -> BTreeSet<String> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| SOURCES.iter().any(|(prefix, _)| word.starts_with(prefix)));
    // Labels of gRPC's metrics begin like their names.
    let labels = ["grpc_code", "grpc_method", "grpc_service", "grpc_type"];
    ours.filter(|word| !labels.contains(word))
        .map(ToOwned::to_owned)
        .collect()
}

/// All Rust sources below a folder, one after the other.
fn sources(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            text.push_str(&sources(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&std::fs::read_to_string(&path)?);
        }
    }
    Ok(text)
}

/// Each alert says how bad it is, what it is about, and has its section in the runbook.
pub fn runbook() -> Result<()> {
    let page = std::fs::read_to_string(folder()?.join("runbook.md"))?;
    let sections = page.lines().filter_map(|line| line.strip_prefix("## "));
    let mut sections: BTreeSet<String> = sections.map(ToOwned::to_owned).collect();
    for alert in alerts()? {
        let name = alert["alert"].as_str().context("a rule that is no alert")?;
        if !sections.remove(name) {
            bail!("the runbook has no section {name}, or two alerts have that name");
        }
        if !["warning", "critical"]
            .iter()
            .any(|word| alert["labels"]["severity"] == *word)
        {
            bail!("{name} does not say how bad it is");
        }
        let annotations = &alert["annotations"];
        let link = annotations["runbook_url"].as_str().unwrap_or_default();
        if !link.ends_with(&format!(
            "/deploy/monitoring/runbook.md#{}",
            name.to_lowercase()
        )) {
            bail!("{name} links to {link:?}");
        }
        if annotations["summary"].as_str().is_none_or(str::is_empty) {
            bail!("{name} has no summary");
        }
    }
    if !sections.is_empty() {
        bail!("sections of the runbook without an alert: {sections:?}");
    }
    Ok(())
}
