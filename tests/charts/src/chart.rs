//! What the chart says of itself, and which shape all its objects have.

use anyhow::{Result, bail};
use serde_json::Value;
use xtask::places;

use crate::helm::{Helm, NAMESPACE};
use crate::manifest;

/// Kinds that lie in no namespace.
const CLUSTER_WIDE: &[&str] = &[
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
];

/// Chart, app and workspace have one version.
pub fn versions() -> Result<()> {
    let text =
        std::fs::read_to_string(places::checkout()?.join("charts/mainstay-operator/Chart.yaml"))?;
    let chart: Value = serde_yaml::from_str(&text)?;
    let ours = env!("CARGO_PKG_VERSION");
    for field in ["version", "appVersion"] {
        if chart[field] != ours {
            bail!(
                "Chart.yaml: {field} is {}, the workspace's is {ours}",
                chart[field]
            );
        }
    }
    Ok(())
}

/// Rules for every object that any set of values renders.
pub fn shape(objects: &[Value]) -> Result<()> {
    for object in objects {
        let (kind, name) = (manifest::kind(object), manifest::name(object));
        let clusterwide = CLUSTER_WIDE.contains(&kind);
        if clusterwide != manifest::namespace(object).is_none() {
            bail!("{kind} {name}: namespace {:?}", manifest::namespace(object));
        }
        for label in ["name", "instance", "managed-by"] {
            if object["metadata"]["labels"][format!("app.kubernetes.io/{label}")].is_null() {
                bail!("{kind} {name} has no label app.kubernetes.io/{label}");
            }
        }
        let kept = object["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep";
        if kept != (kind == "CustomResourceDefinition") {
            bail!("{kind} {name}: resource-policy keep: {kept}");
        }
    }
    for (at, one) in objects.iter().enumerate() {
        let key = |object: &Value| {
            let place = manifest::namespace(object).map(ToOwned::to_owned);
            (
                manifest::kind(object).to_owned(),
                place,
                manifest::name(object).to_owned(),
            )
        };
        if objects
            .iter()
            .skip(at + 1)
            .any(|other| key(other) == key(one))
        {
            bail!("rendered twice: {:?}", key(one));
        }
    }
    Ok(())
}

/// The definitions of the chart are those of `crds/`, field by field.
pub fn definitions(helm: &Helm) -> Result<()> {
    let rendered = helm.template(&[])?;
    let mut count = 0;
    for entry in std::fs::read_dir(places::checkout()?.join("crds"))? {
        let text = std::fs::read_to_string(entry?.path())?;
        for wanted in manifest::objects(&text)? {
            let same = |object: &&Value| {
                manifest::kind(object) == "CustomResourceDefinition"
                    && manifest::name(object) == manifest::name(&wanted)
                    && same(&object["spec"], &wanted["spec"])
            };
            if rendered.iter().filter(same).count() != 1 {
                bail!("{} is not rendered as it is", manifest::name(&wanted));
            }
            count += 1;
        }
    }
    let all = rendered.iter();
    let all = all.filter(|object| manifest::kind(object) == "CustomResourceDefinition");
    if count == 0 || all.count() != count {
        bail!("the chart renders other definitions than the {count} of crds/");
    }
    Ok(())
}

/// Equal, where 1 and 1.0 are too: helm writes whole numbers without a point.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has = |(name, value)| other.get(name).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(has)
        }
        _ => one == other,
    }
}

/// What the release's own objects are called, and that they follow the names given.
pub fn names(helm: &Helm) -> Result<()> {
    let named = |values: &[&str], wanted: &str| -> Result<()> {
        let objects = helm.template(values)?;
        let deployment = manifest::the(&objects, "Deployment")?;
        if manifest::name(deployment) != wanted {
            bail!(
                "{values:?}: {} and not {wanted}",
                manifest::name(deployment)
            );
        }
        let arguments = manifest::texts(&container(deployment)["args"]);
        // Two releases in one namespace must not take turns.
        if !arguments.contains(&format!("--lease-name={wanted}")) {
            bail!("{values:?}: the Lease has another name: {arguments:?}");
        }
        let role = objects
            .iter()
            .find(|object| manifest::name(object) == format!("{wanted}-lease"));
        if role.map(|role| &role["rules"][1]["resourceNames"][0]) != Some(&wanted.into()) {
            bail!("{values:?}: the Role is for another Lease");
        }
        if manifest::namespace(deployment) != Some(NAMESPACE) {
            bail!("{values:?}: not in the release's namespace");
        }
        Ok(())
    };
    named(&[], "mainstay-operator")?;
    named(&["nameOverride=other"], "mainstay-operator-other")?;
    named(&["fullnameOverride=ops"], "ops")
}

pub fn container(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]
}
