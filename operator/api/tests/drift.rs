//! `crds/` is what the types say. Cargo runs tests in the folder of their package; a path of the
//! time of the build may be that of another checkout, if both share a target folder.

use std::path::Path;

use mainstay_operator_api::definition;

#[test]
fn crds_are_up_to_date() {
    let folder = Path::new("../../crds");
    let mut names = Vec::new();
    for (name, text) in definition::files().unwrap() {
        let written = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(
            written == text,
            "crds/{name} differs from operator/api: run `cargo xtask crds`"
        );
        names.push(name);
    }
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "crds/{name} belongs to no type");
    }
}

#[test]
fn every_field_says_what_it_is_for() {
    for definition in definition::all().unwrap() {
        let schema = definition
            .pointer("/spec/versions/0/schema/openAPIV3Schema/properties")
            .unwrap();
        for part in ["spec", "status"] {
            let mut silent = Vec::new();
            collect_silent(&schema[part], part, &mut silent);
            assert!(
                silent.is_empty(),
                "fields without a description: {silent:?}"
            );
        }
    }
}

fn collect_silent(schema: &serde_json::Value, path: &str, silent: &mut Vec<String>) {
    if let Some(fields) = schema.get("properties").and_then(|value| value.as_object()) {
        for (name, field) in fields {
            let path = format!("{path}.{name}");
            if field.get("description").is_none() {
                silent.push(path.clone());
            }
            collect_silent(field, &path, silent);
        }
    }
    if let Some(items) = schema.get("items") {
        collect_silent(items, path, silent);
    }
}

#[test]
fn reasons_say_what_to_do() {
    let page = std::fs::read_to_string("../README.md").unwrap();
    for reason in mainstay_operator_api::condition::Reason::ALL {
        let row = format!("| `{reason}` |");
        assert!(
            page.contains(&row),
            "operator/README.md has no row for {reason}"
        );
    }
    for reason in mainstay_operator_api::keyset::KeySetReason::ALL {
        let row = format!("| `{}` |", reason.text());
        assert!(page.contains(&row), "operator/README.md has no row {row}");
    }
}
