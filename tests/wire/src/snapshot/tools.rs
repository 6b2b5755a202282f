use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::Product;
use super::seen::Seen;
use crate::cluster::{Cluster, Seat};
use crate::options::Options;

/// The programs of both products.
pub struct Tools {
    pub etcd: PathBuf,
    pub mainstay: PathBuf,
    etcdctl: PathBuf,
    etcdutl: PathBuf,
}

/// What a program ended in.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Tools {
    pub fn new(options: &Options) -> Result<Tools> {
        Ok(Tools {
            etcd: options.etcd(),
            mainstay: options.subject.clone(),
            etcdctl: options.peer("etcdctl")?,
            etcdutl: options.peer("etcdutl")?,
        })
    }

    /// Takes a backup by etcdctl, and once more by our own command if it is ours.
    pub async fn save(&self, cluster: &Cluster, file: &Path) -> Result<()> {
        let endpoints = format!("--endpoints={}", cluster.endpoints());
        let path = text(file)?;
        let saved = run(&self.etcdctl, &["snapshot", "save", path, &endpoints]).await?;
        ensure!(saved.out.contains("Server version 3.7.0"), "{saved:?}");
        let own = format!("{path}.own");
        let line = ["snapshot", "save", &own, &endpoints];
        let again = run(&self.mainstay, &line).await?;
        ensure!(again.out == saved.out.replace(path, &own), "{again:?}");
        // etcd goes on committing by itself, so only a store that rests gives the same twice.
        if cluster.label == "mainstay" {
            let equal = std::fs::read(file)? == std::fs::read(&own)?;
            ensure!(equal, "two backups of one state differ");
        }
        Ok(())
    }

    /// Both tools say the same of a file, and etcdutl computes the hash that the server answered.
    pub async fn compare_status(&self, file: &Path, seen: &Seen) -> Result<()> {
        let path = text(file)?;
        for form in ["simple", "json", "table"] {
            let line = ["snapshot", "status", path, "-w", form];
            let (expected, found) = (run(&self.etcdutl, &line), run(&self.mainstay, &line));
            let (expected, found) = (expected.await?.out, found.await?.out);
            ensure!(expected == found, "{form}: {expected}\nis not\n{found}");
        }
        // etcdutl opens it for writing and changes it.
        let copy = format!("{path}.copy");
        std::fs::copy(file, &copy)?;
        let hash = run(&self.etcdutl, &["hashkv", &copy]).await?;
        let expected = format!(
            "{}, {}, {}",
            seen.hash, seen.revision, seen.compact_revision
        );
        ensure!(hash.out.trim() == expected, "{hash:?} is not {expected}");
        Ok(())
    }

    pub async fn restore(
        &self,
        product: Product,
        file: &Path,
        seat: &Seat,
        flags: &[&str],
    ) -> Result<()> {
        let binary = match product {
            Product::Etcd => &self.etcdutl,
            Product::Mainstay => &self.mainstay,
        };
        let mut line = vec!["snapshot".to_owned(), "restore".to_owned()];
        line.push(text(file)?.to_owned());
        line.extend(new_cluster(seat));
        line.extend(flags.iter().map(|flag| (*flag).to_owned()));
        run(binary, &line).await.map(drop)
    }

    pub async fn import(&self, old: &Path, seat: &Seat) -> Result<()> {
        let mut line = vec!["import".to_owned(), from(old)];
        line.extend(new_cluster(seat));
        let ran = run(&self.mainstay, &line).await?;
        ensure!(
            ran.out.starts_with("applied "),
            "its database was not behind: {ran:?}"
        );
        Ok(())
    }

    /// Tries to take over a directory that must not be taken over; returns what it was told.
    pub async fn refused_import(&self, old: &Path, scratch: &Path) -> Result<String> {
        let target = scratch.join("refused.data");
        let line = ["import", &from(old), "--data-dir", text(&target)?];
        let ran = spawn(&self.mainstay, &line).await?;
        ensure!(ran.code == Some(1) && !target.exists(), "{ran:?}");
        Ok(ran.err)
    }

    /// Looks into a stopped member's directory.
    pub async fn inspect(&self, what: &[&str], dir: &Path) -> Result<Ran> {
        let mut line = vec!["inspect"];
        line.extend(what);
        line.extend(["--data-dir", text(dir)?]);
        spawn(&self.mainstay, &line).await
    }

    /// Tries to restore what cannot be restored.
    pub async fn refused_restore(&self, file: &Path, target: &Path, flags: &[&str]) -> Result<Ran> {
        let mut line = vec!["snapshot", "restore", text(file)?, "--data-dir"];
        line.push(text(target)?);
        line.extend(flags);
        spawn(&self.mainstay, &line).await
    }

    pub async fn status(&self, file: &Path) -> Result<Ran> {
        spawn(&self.mainstay, &["snapshot", "status", text(file)?]).await
    }

    /// Asks an address where nobody is.
    pub async fn refused_save(&self, file: &Path, endpoint: &str) -> Result<Ran> {
        let line = ["snapshot", "save", text(file)?, "--endpoints", endpoint];
        spawn(&self.mainstay, &line).await
    }
}

fn from(old: &Path) -> String {
    format!("--from-data-dir={}", old.display())
}

fn new_cluster(seat: &Seat) -> [String; 4] {
    [
        format!("--name={}", seat.name),
        format!("--data-dir={}", seat.data_dir.display()),
        format!("--initial-cluster={}", seat.initial),
        format!("--initial-advertise-peer-urls={}", seat.peer_url),
    ]
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

/// Runs a program that must succeed.
async fn run(binary: &Path, line: &[impl AsRef<str>]) -> Result<Ran> {
    let ran = spawn(binary, line).await?;
    let words: Vec<&str> = line.iter().map(AsRef::as_ref).collect();
    ensure!(ran.code == Some(0), "{words:?}: {}", ran.err);
    Ok(ran)
}

async fn spawn(binary: &Path, line: &[impl AsRef<str>]) -> Result<Ran> {
    let mut command = Command::new(binary);
    for word in line {
        command.arg(word.as_ref());
    }
    for name in ["ETCDCTL_ENDPOINTS", "ETCDCTL_API", "ETCDCTL_USER"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    let done = command.output().await;
    let done = done.with_context(|| format!("run {}", binary.display()))?;
    Ok(Ran {
        code: done.status.code(),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}
