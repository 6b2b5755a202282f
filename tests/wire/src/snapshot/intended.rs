//! A member whose intent is to begin with a snapshot: it waits while the file is damaged, begins with
//! it once another has taken its place, deletes it, and never begins with one again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::seen::Seen;
use super::tools::Tools;
use super::{Product, RAISED_BY, fill, restored};
use crate::cluster::{Cluster, Seat};
use crate::plain_http;
use crate::ports::free_port;

const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// The files that an operator would give to a member.
struct Given {
    /// The backup.
    backup: PathBuf,
    /// Where the member is told to find it.
    snapshot: PathBuf,
    intent: PathBuf,
}

impl Given {
    /// A file that lacks nothing but the truth: one bit of it is another.
    fn damaged(&self) -> Result<()> {
        let mut bytes = fs::read(&self.backup)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Ok(fs::write(&self.snapshot, bytes)?)
    }

    /// The whole file, in one step.
    fn whole(&self) -> Result<()> {
        let part = self.snapshot.with_extension("part");
        fs::copy(&self.backup, &part)?;
        Ok(fs::rename(&part, &self.snapshot)?)
    }

    fn intend(&self, seat: &Seat) -> Result<()> {
        let raised: u64 = RAISED_BY.trim_start_matches("--bump-revision=").parse()?;
        let intent = json!({
            "mode": "restore",
            "incarnation": 1,
            "initialCluster": seat.initial,
            "snapshot": self.snapshot,
            "bumpRevision": raised,
        });
        Ok(fs::write(&self.intent, intent.to_string())?)
    }
}

pub async fn run(tools: &Tools) -> Result<()> {
    let first = Cluster::start(&Product::Mainstay.plan(tools, 1)).await?;
    fill::rich(&first).await?;
    let given = Given {
        backup: first.dir().join("backup.db"),
        snapshot: first.dir().join("snapshot.db"),
        intent: first.dir().join("intent.json"),
    };
    tools.save(&first, &given.backup).await?;
    let flags = [RAISED_BY, "--mark-compacted"];
    let by_hand = restored(tools, Product::Mainstay, 1, &given.backup, &flags).await?;
    let expected = Seen::of(&by_hand).await?;
    let port = free_port()?;
    let plan = Product::Mainstay.plan(tools, 1);
    let plan = plan.flag(format!("--listen-metrics-urls=http://127.0.0.1:{port}"));
    let file = given.intent.display();
    let plan = plan.flag(format!("--membership-intent-file={file}"));
    let started = Cluster::start_on(&plan, async |seat| {
        given.damaged()?;
        given.intend(seat)
    });
    let mend = async {
        not_ready(port, "expected sha256").await?;
        given.whole()
    };
    let (mut second, ()) = tokio::try_join!(started, mend)?;
    expected
        .compare(&Seen::of(&second).await?)
        .context("begun")?;
    gone(&given.snapshot).await?;
    // What it holds now counts, though the intent is as it was and a snapshot is there again.
    fill::more(&second).await?;
    let before = Seen::of(&second).await?;
    given.whole()?;
    for peer in &mut second.peers {
        peer.kill().await?;
        peer.restart()?;
    }
    second.ready().await?;
    before
        .compare(&Seen::of(&second).await?)
        .context("started again")?;
    gone(&given.snapshot).await
}

/// Waits until the member lives and says that it is not ready for a reason that holds these words.
async fn not_ready(port: u16, why: &str) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let said = match plain_http::call(port, "GET", "/readyz").await {
            Ok(answer) if answer.status == 503 && answer.body.contains(why) => {
                let live = plain_http::call(port, "GET", "/livez").await?;
                ensure!(live.status == 200, "it does not live: {live:?}");
                return Ok(());
            }
            said => said,
        };
        if Instant::now() > deadline {
            bail!("it is to wait because of {why:?} and says {said:?}");
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn gone(snapshot: &Path) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while snapshot.exists() {
        ensure!(Instant::now() < deadline, "the snapshot is still there");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
