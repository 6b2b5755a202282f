//! Kubernetes objects as YAML text holds them.

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The objects of a text with any number of documents; empty ones are left out.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = <Value as serde::Deserialize>::deserialize(document)?;
        if value.is_null() {
            continue;
        }
        if value["kind"].as_str().is_none() || name(&value).is_empty() {
            bail!("no kind or no name: {value}");
        }
        found.push(value);
    }
    Ok(found)
}

pub fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

pub fn namespace(object: &Value) -> Option<&str> {
    object["metadata"]["namespace"].as_str()
}

/// The one object of a kind.
pub fn the<'a>(objects: &'a [Value], wanted: &str) -> Result<&'a Value> {
    let mut all = objects.iter().filter(|object| kind(object) == wanted);
    let one = all.next().with_context(|| format!("no {wanted}"))?;
    if all.next().is_some() {
        bail!("more than one {wanted}");
    }
    Ok(one)
}

/// The texts of a list.
pub fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = items.iter().filter_map(Value::as_str);
    texts.map(ToOwned::to_owned).collect()
}
