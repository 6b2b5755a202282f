//! What a crate of the workspace depends on.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::tree;

/// The parts of a `Cargo.toml` that the rules are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Folder of the crate from the root of the checkout.
    pub folder: String,
    pub name: String,
    /// Names in `[dependencies]`; those for tests and build scripts do not count.
    pub dependencies: BTreeSet<String>,
    pub inherits_lints: bool,
}

/// The manifests of all crates of the workspace.
///
/// # Errors
/// When one cannot be read or names no package.
pub fn all() -> Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    for source in tree::sources("/Cargo.toml")? {
        let folder = source.path.trim_end_matches("/Cargo.toml").to_owned();
        let manifest = parse(folder, &source.text);
        manifests.push(manifest.with_context(|| format!("{} names no package", source.path))?);
    }
    Ok(manifests)
}

/// Reads sections and keys line by line: our manifests use no other form.
fn parse(folder: String, text: &str) -> Option<Manifest> {
    let mut manifest = Manifest {
        folder,
        ..Manifest::default()
    };
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
            if let Some(name) = line.strip_prefix("[dependencies.") {
                manifest
                    .dependencies
                    .insert(name.trim_end_matches(']').to_owned());
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let key = key.trim();
        match section {
            "[package]" if key == "name" => manifest.name = value.trim().trim_matches('"').into(),
            "[dependencies]" => {
                let name = key.split('.').next().unwrap_or(key);
                manifest.dependencies.insert(name.to_owned());
            }
            "[lints]" if key == "workspace" => manifest.inherits_lints = value.trim() == "true",
            _ => {}
        }
    }
    (!manifest.name.is_empty()).then_some(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_dependencies_count() {
        let text = "[package]\nname = \"a\"\n[lints]\nworkspace = true\n[dependencies]\n\
            bytes.workspace = true\nserde = { version = \"1\" }\n[dev-dependencies]\ntonic = \"1\"\n";
        let manifest = parse("store/a".into(), text).unwrap();
        assert_eq!(
            manifest.dependencies,
            ["bytes", "serde"].map(String::from).into()
        );
        assert!(manifest.inherits_lints);
        assert_eq!(parse(String::new(), "[workspace]\n"), None);
    }
}
