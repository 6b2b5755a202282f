//! What the first process of the node is told to start, and what one program of it is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::folder::Folder;

/// Written by [`crate::Node::up`], read by the keeper.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    pub folder: Folder,
    /// Kubernetes and CoreDNS.
    pub peers: PathBuf,
    /// etcd or Mainstay.
    pub datastore: PathBuf,
    /// Archives of images that the node has from the start.
    pub images: Vec<PathBuf>,
}

impl Order {
    pub fn peer(&self, name: &str) -> PathBuf {
        self.peers.join(name)
    }

    pub fn write(&self) -> Result<()> {
        mainstay_pki::replace(&self.folder.order(), &serde_json::to_string(self)?)
    }

    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("no {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no order", path.display()))
    }
}

/// A program with its arguments; its output goes to the log of its name.
#[derive(Clone, Debug)]
pub struct Program {
    pub name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Program {
    pub fn new(name: &'static str, program: &Path) -> Self {
        Self {
            name,
            program: program.to_path_buf(),
            arguments: Vec::new(),
        }
    }

    pub fn flag(mut self, name: &str, value: &str) -> Self {
        // CoreDNS knows flags of one dash, and takes this form of them too.
        self.arguments.push(format!("{name}={value}"));
        self
    }

    pub fn arguments(mut self, arguments: impl IntoIterator<Item = String>) -> Self {
        self.arguments.extend(arguments);
        self
    }

    pub fn log(&self, folder: &Folder) -> PathBuf {
        folder.logs().join(format!("{}.log", self.name))
    }

    pub fn spawn(&self, folder: &Folder) -> Result<Child> {
        let log = self.log(folder);
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        Command::new(&self.program)
            .args(&self.arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }
}
