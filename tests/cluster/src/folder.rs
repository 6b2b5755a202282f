//! Where everything of the node lies.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// The longest path of a Unix socket is 107 bytes; the deepest one below the folder takes this much.
const SOCKET_BUDGET: usize = 107 - "/containerd/state/containerd.sock.ttrpc".len();

/// The folder of a node. Only its logs outlive the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Folder(PathBuf);

impl Folder {
    /// The node's folder in the cache.
    pub fn of_cache() -> Result<Self> {
        Self::new(xtask::places::cache()?.join("cluster"))
    }

    /// An absolute path, short enough for the sockets below it.
    pub fn new(path: PathBuf) -> Result<Self> {
        if !path.is_absolute() || path.as_os_str().len() > SOCKET_BUDGET {
            bail!(
                "the folder {} must be absolute and at most {SOCKET_BUDGET} bytes long",
                path.display()
            );
        }
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The path of an entry as a flag takes it.
    pub fn text(&self, name: &str) -> String {
        self.join(name).display().to_string()
    }

    pub fn logs(&self) -> PathBuf {
        self.join("logs")
    }

    /// What the first process prints: one line a step, the last of them [`crate::keeper::READY`].
    pub fn progress(&self) -> PathBuf {
        self.join("logs/keeper.log")
    }

    /// The administrator's.
    pub fn kubeconfig(&self) -> PathBuf {
        self.join("kubeconfig")
    }

    pub fn containerd_socket(&self) -> PathBuf {
        self.join("containerd/state/containerd.sock")
    }

    /// The directories behind persistent volumes.
    pub fn volumes(&self) -> PathBuf {
        self.join("volumes")
    }

    /// What was found before the node was made, see `traces.rs`.
    pub fn traces(&self) -> PathBuf {
        self.join("traces.json")
    }

    /// What the first process is to start, see `keeper.rs`.
    pub fn order(&self) -> PathBuf {
        self.join("order.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_too_deep_for_sockets_is_refused() {
        assert!(Folder::new("/".repeat(SOCKET_BUDGET).into()).is_ok());
        assert!(Folder::new("/".repeat(SOCKET_BUDGET + 1).into()).is_err());
        assert!(Folder::new("cache/cluster".into()).is_err());
    }
}
