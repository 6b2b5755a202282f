//! A stopped member's directory tells what is in it, and goes on telling when parts of it are bad.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use mainstay_proto::etcdserverpb as pb;

use super::tools::Tools;
use super::{Product, fill};
use crate::cluster::Cluster;

const PAGE: u64 = 4096;

pub async fn run(tools: &Tools) -> Result<()> {
    let mut cluster = Cluster::start(&Product::Mainstay.plan(tools, 1)).await?;
    fill::rich(&cluster).await?;
    let read = pb::RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        count_only: true,
        ..Default::default()
    };
    let header = cluster
        .connect(0)
        .await?
        .kv
        .range(read)
        .await?
        .into_inner()
        .header;
    let header = header.context("no header")?;
    let dir = cluster.data_dir(0);
    let running = tools.inspect(&["db"], &dir).await?;
    ensure!(
        running.code == Some(1) && running.err.contains("stop the member first"),
        "{running:?}"
    );
    cluster.peers[0].terminate().await?;
    whole(tools, &dir, &header).await?;
    let before = tools.inspect(&["wal"], &dir).await?.out;
    bad_log(tools, &dir, &before).await?;
    bad_notes(tools, &dir).await?;
    bad_store(tools, &dir).await
}

async fn whole(tools: &Tools, dir: &Path, header: &pb::ResponseHeader) -> Result<()> {
    let wal = tools.inspect(&["wal"], dir).await?;
    let all = [
        "membership, voters",
        "put \"",
        "txn of",
        "compact to revision",
        "grant lease",
        " end",
    ];
    for part in all {
        ensure!(wal.out.contains(part), "{part} is missing: {wal:?}");
    }
    let one = tools
        .inspect(&["wal", "--from", "5", "--to", "5"], dir)
        .await?;
    ensure!(one.out.matches("entry ").count() == 1, "{one:?}");
    let db = tools.inspect(&["db", "--records"], dir).await?;
    for part in [
        format!("revision {}, compacted to", header.revision),
        "cluster version 3.7.0".to_owned(),
        "lease ".to_owned(),
        format!("member {:x} is m0", header.member_id),
        " put \"".to_owned(),
        " delete \"".to_owned(),
    ] {
        ensure!(db.out.contains(&part), "{part} is missing: {db:?}");
    }
    let members = tools.inspect(&["members"], dir).await?;
    let own = format!(
        "this is member {:x} of cluster {:x}",
        header.member_id, header.cluster_id
    );
    ensure!(members.out.contains(&own), "{members:?}");
    for ran in [wal, db, members] {
        ensure!(
            ran.code == Some(0) && !ran.out.contains("DAMAGED"),
            "{ran:?}"
        );
    }
    Ok(())
}

/// One byte of a record in the middle of the log is turned.
async fn bad_log(tools: &Tools, dir: &Path, before: &str) -> Result<()> {
    let segment = newest(&dir.join("member/wal"), "wal")?;
    let file = File::options().read(true).write(true).open(&segment)?;
    // The second batch: its records begin 40 bytes into its page.
    turn(&file, 2 * PAGE + 60)?;
    let bad = tools.inspect(&["wal"], dir).await?;
    ensure!(
        bad.code == Some(1) && bad.out.matches("DAMAGED").count() == 1,
        "{bad:?}"
    );
    let lost = before.lines().count() - bad.out.lines().count();
    ensure!(lost < 10, "{lost} lines are lost");
    turn(&file, 2 * PAGE + 60)?;
    // Without the header of its segment, whose batches repeat what is needed of it.
    turn(&file, 9)?;
    let headless = tools.inspect(&["wal"], dir).await?;
    let entries = |text: &str| text.matches("entry ").count();
    ensure!(
        headless.code == Some(1) && entries(&headless.out) == entries(before),
        "{headless:?}"
    );
    turn(&file, 9)?;
    let again = tools.inspect(&["wal"], dir).await?;
    ensure!(again.out == before, "it was changed by being looked at");
    Ok(())
}

/// RocksDB's notes of its files are gone: all records and rows are told all the same.
async fn bad_notes(tools: &Tools, dir: &Path) -> Result<()> {
    let before = tools.inspect(&["db", "--records"], dir).await?.out;
    let current = dir.join("member/store/db-000001/CURRENT");
    let kept = fs::read(&current)?;
    fs::write(&current, "nothing")?;
    let bad = tools.inspect(&["db", "--records"], dir).await?;
    ensure!(
        bad.code == Some(1) && bad.out.matches("DAMAGED").count() == 1,
        "{bad:?}"
    );
    for line in before.lines() {
        ensure!(bad.out.contains(line), "{line} is missing: {bad:?}");
    }
    let members = tools.inspect(&["members"], dir).await?;
    for part in ["store, as of entry ", "log, entry ", "DAMAGED"] {
        ensure!(members.out.contains(part), "{part}: {members:?}");
    }
    let left = fs::read_dir(dir.join("member"))?.collect::<Result<Vec<_>, _>>()?;
    let scratch = left
        .iter()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("inspect-"));
    ensure!(scratch.is_none(), "{scratch:?} was left behind");
    fs::write(&current, kept)?;
    let again = tools.inspect(&["db", "--records"], dir).await?;
    ensure!(
        again.out == before,
        "the store was changed by being looked at"
    );
    Ok(())
}

/// One byte of a table of the store is turned.
async fn bad_store(tools: &Tools, dir: &Path) -> Result<()> {
    let table = newest(&dir.join("member/store/db-000001"), "sst")?;
    let file = File::options().read(true).write(true).open(&table)?;
    turn(&file, 100)?;
    let bad = tools.inspect(&["db", "--records"], dir).await?;
    ensure!(
        bad.code == Some(1) && bad.out.contains("DAMAGED"),
        "{bad:?}"
    );
    let members = tools.inspect(&["members"], dir).await?;
    ensure!(members.out.contains("log, entry "), "{members:?}");
    Ok(())
}

fn turn(file: &File, offset: u64) -> Result<()> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&[byte[0] ^ 0x40], offset)?;
    Ok(())
}

fn newest(dir: &Path, extension: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<PathBuf> = entries.iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths
        .pop()
        .with_context(|| format!("no {extension} in {}", dir.display()))
}
