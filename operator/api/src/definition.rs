//! The definitions that go into `crds/`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::{
    MainstayBackup, MainstayBackupSchedule, MainstayCluster, MainstayKeySet, MainstayRole,
    MainstayUser,
};

/// File name and YAML of each definition.
pub fn files() -> anyhow::Result<Vec<(String, String)>> {
    let rows = all()?.into_iter().map(|definition| {
        let plural = definition
            .get("spec")
            .and_then(|spec| spec.get("names"))
            .and_then(|names| names.get("plural"))
            .and_then(Value::as_str);
        let plural = plural.ok_or_else(|| anyhow::anyhow!("a definition has no name"))?;
        let text = serde_yaml::to_string(&definition)?;
        let header = "# Written by `cargo xtask crds` from operator/api.\n";
        Ok((format!("{plural}.yaml"), format!("{header}{text}")))
    });
    rows.collect()
}

/// The definitions as JSON.
pub fn all() -> anyhow::Result<Vec<Value>> {
    let definitions: [CustomResourceDefinition; 6] = [
        MainstayCluster::crd(),
        MainstayBackup::crd(),
        MainstayBackupSchedule::crd(),
        MainstayUser::crd(),
        MainstayRole::crd(),
        MainstayKeySet::crd(),
    ];
    let mut written = Vec::new();
    for definition in definitions {
        let mut value = serde_json::to_value(definition)?;
        mend_formats(&mut value);
        written.push(value);
    }
    Ok(written)
}

/// API servers know the signed formats only and warn of others.
fn mend_formats(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some("uint32" | "uint16") if name == "format" => *field = "int32".into(),
                    Some("uint64" | "uint") if name == "format" => *field = "int64".into(),
                    _ => mend_formats(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mend_formats),
        _ => {}
    }
}
