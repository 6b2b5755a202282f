//! Files that are made from others: the chart's copies, and the kustomize base from the chart.
//!
//! helm reads no file outside of a chart and kustomize none outside of its base, so both hold copies.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_yaml::Value;
use xtask::places;

use crate::helm::{Helm, NAMESPACE};
use crate::tools;

const HEADER: &str = "# Written by `cargo xtask charts render` from charts/mainstay-operator.\n";
const CHART: &str = "charts/mainstay-operator/files";
const RULES: &str = "charts/mainstay-operator/templates/_rules.tpl";
const BASE: &str = "deploy/kustomize/base";

/// Path from the root of the checkout, and content.
type Files = BTreeMap<PathBuf, String>;

/// Writes all of them, and removes what no longer belongs there.
pub fn write() -> Result<()> {
    let root = places::checkout()?;
    let copies = copies(&root)?;
    put(&root, &copies)?;
    let base = base()?;
    put(&root, &base)?;
    for stray in strays(&root, &copies, &base)? {
        fs::remove_file(root.join(&stray))?;
        println!("removed {}", stray.display());
    }
    Ok(())
}

/// An error that names each file that differs from what it is made from.
pub fn check() -> Result<()> {
    let root = places::checkout()?;
    let (copies, base) = (copies(&root)?, base()?);
    let mut wrong = strays(&root, &copies, &base)?;
    for (path, text) in copies.iter().chain(&base) {
        if fs::read_to_string(root.join(path)).ok().as_ref() != Some(text) {
            wrong.push(path.clone());
        }
    }
    if !wrong.is_empty() {
        bail!("out of date: {wrong:?}; run `cargo xtask charts render`");
    }
    Ok(())
}

fn put(root: &Path, files: &Files) -> Result<()> {
    for (path, text) in files {
        let full = root.join(path);
        if fs::read_to_string(&full).ok().as_ref() == Some(text) {
            continue;
        }
        let folder = full.parent().context("a file without a folder")?;
        fs::create_dir_all(folder)?;
        fs::write(&full, text).with_context(|| format!("cannot write {}", full.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Files in the folders of derived ones that nothing is made into any more.
fn strays(root: &Path, copies: &Files, base: &Files) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in [
        PathBuf::from(CHART),
        Path::new(CHART).join("crds"),
        BASE.into(),
    ] {
        for entry in fs::read_dir(root.join(&folder)).with_context(|| format!("{folder:?}"))? {
            let path = folder.join(entry?.file_name());
            let known = copies.contains_key(&path) || base.contains_key(&path);
            if !known && !root.join(&path).is_dir() {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// What the chart holds of other folders.
fn copies(root: &Path) -> Result<Files> {
    let mut files = Files::new();
    for (from, to) in [
        ("deploy/monitoring/alerts.yaml", "alerts.yaml"),
        ("deploy/monitoring/dashboard.json", "dashboard.json"),
    ] {
        let text = fs::read_to_string(root.join(from)).with_context(|| from.to_owned())?;
        files.insert(Path::new(CHART).join(to), text);
    }
    files.insert(RULES.into(), crate::rights::templates()?);
    for entry in fs::read_dir(root.join("crds")).context("no crds/")? {
        let path = entry?.path();
        let name = path.file_name().context("a file without a name")?;
        files.insert(
            Path::new(CHART).join("crds").join(name),
            fs::read_to_string(&path)?,
        );
    }
    Ok(files)
}

/// The chart with its default values, without what only helm understands.
fn base() -> Result<Files> {
    let helm = Helm::of_peers()?;
    let mut command = helm.command();
    command.args(["template", crate::helm::RELEASE, "--namespace", NAMESPACE]);
    command
        .args(["--kube-version", "1.34.4", "--skip-tests"])
        .arg(&helm.chart);
    let text = tools::output(&mut command)?;
    let (mut definitions, mut others) = (String::new(), String::new());
    for document in serde_yaml::Deserializer::from_str(&text) {
        let mut object = <Value as serde::Deserialize>::deserialize(document)?;
        if object.is_null() {
            continue;
        }
        forget_helm(&mut object);
        let text = serde_yaml::to_string(&object)?;
        let is_definition = object["kind"] == "CustomResourceDefinition";
        let file = if is_definition {
            &mut definitions
        } else {
            &mut others
        };
        file.push_str("---\n");
        file.push_str(&text);
    }
    let namespace = format!(
        "{HEADER}apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    \
         pod-security.kubernetes.io/enforce: restricted\n"
    );
    let kustomization = format!(
        "{HEADER}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  \
         - namespace.yaml\n  - definitions.yaml\n  - operator.yaml\n"
    );
    let named = [
        ("namespace.yaml", namespace),
        ("kustomization.yaml", kustomization),
        ("definitions.yaml", format!("{HEADER}{definitions}")),
        ("operator.yaml", format!("{HEADER}{others}")),
    ];
    let path = |(name, text)| (Path::new(BASE).join(name), text);
    Ok(named.into_iter().map(path).collect())
}

/// Removes the marks of helm, wherever labels and annotations stand.
fn forget_helm(value: &mut Value) {
    match value {
        Value::Mapping(fields) => {
            for marks in ["labels", "annotations"] {
                let Some(Value::Mapping(pairs)) = fields.get_mut(marks) else {
                    continue;
                };
                pairs.remove("helm.sh/chart");
                pairs.remove("helm.sh/resource-policy");
                pairs.remove("app.kubernetes.io/managed-by");
                if pairs.is_empty() {
                    fields.remove(marks);
                }
            }
            // A schema may have fields of these names too, and selectors must stay as they are.
            for (name, field) in fields.iter_mut() {
                if matches!(name.as_str(), Some("metadata" | "spec" | "template")) {
                    forget_helm(field);
                }
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(forget_helm),
        _ => {}
    }
}
