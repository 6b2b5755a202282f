//! What a node changes outside of its namespaces, noted before it is changed and undone after.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::folder::Folder;

/// Settings of the whole kernel that the kubelet writes.
pub const SETTINGS: &[&str] = &[
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
];

/// Folders with names that kubelet, CNI and containerd do not let one choose. The node sees an
/// empty one of its own over each; the place for it has to exist.
pub const PLACES: &[&str] = &["/var/lib/cni", "/var/lib/kubelet", "/var/log/containers"];

/// The machine as it was.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Traces {
    settings: BTreeMap<String, String>,
    /// Places that had to be made.
    made: Vec<PathBuf>,
}

impl Traces {
    /// Notes how the machine is, on disk, then makes the places.
    pub fn note(folder: &Folder) -> Result<()> {
        let read = |name: &&&str| Some((name.to_string(), fs::read_to_string(setting(name)).ok()?));
        let absent = PLACES
            .iter()
            .map(PathBuf::from)
            .filter(|path| !path.exists());
        let traces = Self {
            settings: SETTINGS.iter().filter_map(|name| read(&name)).collect(),
            made: absent.collect(),
        };
        mainstay_pki::replace(&folder.traces(), &serde_json::to_string(&traces)?)?;
        for path in &traces.made {
            fs::create_dir_all(path)
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
        Ok(())
    }

    /// Puts everything back that was noted; without a note there is nothing to undo.
    pub fn undo(folder: &Folder) -> Result<()> {
        let Ok(text) = fs::read_to_string(folder.traces()) else {
            return Ok(());
        };
        let traces: Self = serde_json::from_str(&text).context("the note of the node's traces")?;
        for (name, value) in &traces.settings {
            if fs::read_to_string(setting(name)).is_ok_and(|now| now != *value) {
                fs::write(setting(name), value)
                    .with_context(|| format!("cannot restore {name}"))?;
            }
        }
        for path in &traces.made {
            // Somebody else may have begun to use it meanwhile.
            let _ = fs::remove_dir(path);
        }
        Ok(())
    }
}

fn setting(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}
