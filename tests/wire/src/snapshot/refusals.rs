//! Files that are broken in every way a copy can break: one line, exit code 1, nothing left.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::tools::{Ran, Tools};
use super::{Product, fill};
use crate::cluster::Cluster;
use crate::ports::free_port;

pub async fn run(tools: &Tools) -> Result<()> {
    let cluster = Cluster::start(&Product::Mainstay.plan(tools, 1)).await?;
    fill::rich(&cluster).await?;
    let file = cluster.dir().join("backup.db");
    tools.save(&cluster, &file).await?;
    let scratch = cluster.dir().join("refusals");
    fs::create_dir(&scratch)?;
    for (name, bytes, flags, expected) in broken(&fs::read(&file)?) {
        let broken = scratch.join(name);
        fs::write(&broken, bytes)?;
        let target = scratch.join("target");
        let ran = tools.refused_restore(&broken, &target, flags).await?;
        refused(name, &ran, expected)?;
        fs::remove_file(&broken)?;
        ensure!(is_empty(&scratch)?, "{name}: something was left behind");
    }
    arguments(tools, &file, &scratch).await?;
    let missing = tools.status(&scratch.join("nothing.db")).await?;
    refused("status of no file", &missing, "nothing.db")?;
    let nobody = format!("127.0.0.1:{}", free_port()?);
    let saved = tools.refused_save(&scratch.join("x.db"), &nobody).await?;
    refused("save from nobody", &saved, &nobody)?;
    ensure!(is_empty(&scratch)?, "a backup that failed was left behind");
    Ok(())
}

type Broken = (&'static str, Vec<u8>, &'static [&'static str], &'static str);

fn broken(good: &[u8]) -> Vec<Broken> {
    let skip: &[&str] = &["--skip-hash-check"];
    let half = good.len() / 2 / 4096 * 4096;
    let flipped = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let mut pages = good.to_vec();
    pages[8192..].fill(0xff);
    vec![
        ("empty", Vec::new(), &[], "missing hash"),
        (
            "no hash",
            good[..good.len() - 32].to_vec(),
            &[],
            "missing hash",
        ),
        (
            "other hash",
            flipped(good.len() - 1),
            &[],
            "expected sha256",
        ),
        (
            "flipped row",
            flipped(good.len() - 5000),
            &[],
            "expected sha256",
        ),
        ("cut", good[..half].to_vec(), &[], "missing hash"),
        ("cut, unchecked", good[..half].to_vec(), skip, "damaged"),
        ("no metas, unchecked", vec![0; good.len()], skip, "damaged"),
        ("no pages, unchecked", pages, skip, "damaged"),
        ("text, unchecked", b"no database".to_vec(), skip, "damaged"),
    ]
}

async fn arguments(tools: &Tools, file: &Path, scratch: &Path) -> Result<()> {
    let target = scratch.join("target");
    let half = tools.refused_restore(file, &target, &["--mark-compacted"]);
    refused("half of a raise", &half.await?, "--mark-compacted required")?;
    let other = tools.refused_restore(file, &target, &["--name=x"]);
    refused("a name that is not listed", &other.await?, "local name")?;
    let url = ["--initial-advertise-peer-urls=http://h:1"];
    let other = tools.refused_restore(file, &target, &url);
    refused("another URL", &other.await?, "--initial-cluster has")?;
    ensure!(
        is_empty(scratch)?,
        "refused arguments left something behind"
    );
    fs::create_dir(&target)?;
    fs::write(target.join("kept"), "kept")?;
    let full = tools.refused_restore(file, &target, &[]);
    refused("a directory in use", &full.await?, "not empty")?;
    ensure!(
        fs::read(target.join("kept"))? == b"kept",
        "it was overwritten"
    );
    fs::remove_dir_all(&target)?;
    Ok(())
}

fn refused(name: &str, ran: &Ran, expected: &str) -> Result<()> {
    ensure!(ran.code == Some(1), "{name}: {ran:?}");
    ensure!(
        ran.err.contains(expected),
        "{name}: {:?} lacks {expected}",
        ran.err
    );
    ensure!(ran.err.lines().count() == 1, "{name}: {:?}", ran.err);
    ensure!(ran.out.is_empty(), "{name}: {ran:?}");
    Ok(())
}

fn is_empty(dir: &Path) -> Result<bool> {
    Ok(fs::read_dir(dir)?.next().is_none())
}
