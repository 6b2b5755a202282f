//! Backups between the two products: what one wrote the other restores, and the restored cluster
//! shows a client what the first one showed.

pub mod corruption;
pub mod fill;
pub mod inspect;
pub mod intended;
pub mod refusals;
pub mod seen;
pub mod stream;
pub mod there_and_back;
pub mod tools;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::cluster::{Cluster, Plan};
use crate::options::Options;
use seen::Seen;
use tools::Tools;
use xtask::tally::Tally;

/// Keys that go round; with `--long` ten times as many.
const MANY_KEYS: usize = 20_000;
/// By how much a restore raises the revision.
const RAISED_BY: &str = "--bump-revision=1000000";

/// Runs every case; each has clusters of its own.
pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    let tools = Tools::new(options)?;
    let keys = if options.long {
        10 * MANY_KEYS
    } else {
        MANY_KEYS
    };
    for name in CASES {
        if !options.wants(name) {
            continue;
        }
        let since = Instant::now();
        match case(name, &tools, keys).await {
            Ok(()) => tally.pass(&format!("snapshot {name}"), since),
            Err(error) => tally.fail(&format!("snapshot {name}"), &format!("  {error:#}")),
        }
    }
    Ok(tally.close())
}

const CASES: [&str; 12] = [
    "stream",
    "to-etcd",
    "from-etcd",
    "three-members",
    "raised-revision",
    "intended",
    "import",
    "there-and-back",
    "refusals",
    "inspect",
    "corruption-seen-by-the-clock",
    "corruption-seen-after-compaction",
];

async fn case(name: &str, tools: &Tools, keys: usize) -> Result<()> {
    let (mainstay, etcd) = (Product::Mainstay, Product::Etcd);
    match name {
        "stream" => stream::run(tools).await,
        "to-etcd" => round_trip(tools, mainstay, etcd, 1).await,
        "from-etcd" => round_trip(tools, etcd, mainstay, 1).await,
        "three-members" => round_trip(tools, etcd, mainstay, 3).await,
        "raised-revision" => raised(tools).await,
        "intended" => intended::run(tools).await,
        "import" => import(tools).await,
        "there-and-back" => there_and_back::run(tools, keys).await,
        "inspect" => inspect::run(tools).await,
        "corruption-seen-by-the-clock" => corruption::by_the_clock(tools).await,
        "corruption-seen-after-compaction" => corruption::after_compaction(tools).await,
        _ => refusals::run(tools).await,
    }
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    Etcd,
    Mainstay,
}

impl Product {
    fn plan(self, tools: &Tools, size: usize) -> Plan {
        match self {
            Product::Etcd => Plan::new(&tools.etcd, "etcd", size),
            Product::Mainstay => Plan::new(&tools.mainstay, "mainstay", size),
        }
    }
}

/// Fills a member, takes a backup, compares both tools' view of it, restores it and compares what
/// a client sees: at once, after both have gone on, and after a crash.
async fn round_trip(tools: &Tools, from: Product, to: Product, members: usize) -> Result<()> {
    let first = Cluster::start(&from.plan(tools, 1)).await?;
    fill::rich(&first).await?;
    let file = first.dir().join("backup.db");
    tools.save(&first, &file).await?;
    let before = Seen::of(&first).await?;
    tools.compare_status(&file, &before).await?;
    let mut second = restored(tools, to, members, &file, &[]).await?;
    let after = Seen::of(&second).await?;
    before.compare(&after).context("restored")?;
    // Both go on alike: what was restored is whole enough to be written to.
    fill::more(&first).await?;
    fill::more(&second).await?;
    let (before, after) = (Seen::of(&first).await?, Seen::of(&second).await?);
    before.compare(&after).context("after further writes")?;
    // And it outlives a crash of all its members.
    for peer in &mut second.peers {
        peer.kill().await?;
    }
    for peer in &mut second.peers {
        peer.restart()?;
    }
    second.ready().await?;
    let after = Seen::of(&second).await?;
    before.compare(&after).context("after a crash")
}

/// A cluster each of whose members begins with the backup.
async fn restored(
    tools: &Tools,
    product: Product,
    members: usize,
    file: &Path,
    flags: &[&str],
) -> Result<Cluster> {
    let plan = product.plan(tools, members);
    Cluster::start_on(&plan, async |seat| {
        tools.restore(product, file, seat, flags).await
    })
    .await
}

/// A revision that a restore raises is the same in both products, and so is what is left of what
/// was before.
async fn raised(tools: &Tools) -> Result<()> {
    let first = Cluster::start(&Product::Etcd.plan(tools, 1)).await?;
    fill::rich(&first).await?;
    let file = first.dir().join("backup.db");
    tools.save(&first, &file).await?;
    let flags = [RAISED_BY, "--mark-compacted"];
    let etcd = restored(tools, Product::Etcd, 1, &file, &flags).await?;
    let mainstay = restored(tools, Product::Mainstay, 1, &file, &flags).await?;
    let (expected, found) = (Seen::of(&etcd).await?, Seen::of(&mainstay).await?);
    ensure!(
        expected.revision > 1_000_000,
        "revision {}",
        expected.revision
    );
    expected.compare(&found)?;
    fill::more(&etcd).await?;
    fill::more(&mainstay).await?;
    Seen::of(&etcd).await?.compare(&Seen::of(&mainstay).await?)
}

/// A member that was killed with its database behind its log is taken over whole.
async fn import(tools: &Tools) -> Result<()> {
    // Nothing is written to the database by itself after the start.
    let lagging = Product::Etcd.plan(tools, 1);
    let lagging = lagging.flag("--backend-batch-interval=1h");
    let mut first = Cluster::start(&lagging.flag("--backend-batch-limit=1000000")).await?;
    let old = first.data_dir(0);
    let plan = Product::Mainstay.plan(tools, 1);
    let running = tools.refused_import(&old, first.dir()).await?;
    ensure!(running.contains("stop etcd first"), "{running}");
    fill::rich(&first).await?;
    let before = Seen::of(&first).await?;
    fill::more(&first).await?;
    let after = Seen::of(&first).await?;
    ensure!(after.revision > before.revision, "nothing was added");
    for peer in &mut first.peers {
        peer.kill().await?;
    }
    let second = Cluster::start_on(&plan, async |seat| tools.import(&old, seat).await).await?;
    after.compare(&Seen::of(&second).await?)
}
