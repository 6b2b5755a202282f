pub mod alarm;
pub mod cluster;
pub mod compaction;
pub mod kv;
pub mod lease;
pub mod limit;
pub mod txn;
pub mod watch;

use std::time::Instant;

use anyhow::Result;

use crate::cluster::{Cluster, Plan};
use crate::generate::STREAMS;
use crate::options::Options;
use crate::pair::Pair;
use crate::player::{Body, Player};
use xtask::tally::Tally;

/// A written sequence with a name, the size of the clusters it wants and flags for both servers.
pub struct Script {
    pub name: &'static str,
    pub members: usize,
    pub flags: &'static [&'static str],
    pub body: Body,
}

/// Makes a table of scripts out of functions; the name of a script is that of its function. Behind
/// a name may stand the size of the clusters and flags: `name(3, "--flag=value")`.
macro_rules! scripts {
    ($($name:ident $(($members:literal $(, $flag:literal)*))?)*) => {
        pub const SCRIPTS: &[crate::script::Script] = &[$(
            crate::script::Script {
                name: concat!(module_path!(), "::", stringify!($name)),
                members: crate::script::scripts!(@members $($members)?),
                flags: &[$($($flag),*)?],
                body: |player| Box::pin($name(player)),
            },
        )*];
    };
    (@members) => { 1 };
    (@members $members:literal) => { $members };
}
pub(crate) use scripts;

fn all() -> impl Iterator<Item = &'static Script> {
    [
        kv::SCRIPTS,
        txn::SCRIPTS,
        compaction::SCRIPTS,
        watch::SCRIPTS,
        lease::SCRIPTS,
        limit::SCRIPTS,
        alarm::SCRIPTS,
        cluster::SCRIPTS,
    ]
    .into_iter()
    .flatten()
}

/// Plays every script on fresh clusters; true when all were equal.
pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    for script in all().filter(|script| options.wants(script.name)) {
        let since = Instant::now();
        let name = script.name.trim_start_matches("mainstay_wire::script::");
        match one(options, script).await {
            Ok(()) => tally.pass(name, since),
            Err(error) => tally.fail(name, &format!("{error:#}")),
        }
    }
    Ok(tally.close())
}

async fn one(options: &Options, script: &Script) -> Result<()> {
    let plan = |binary, label| {
        let plan = Plan::new(binary, label, script.members).tls(options.tls);
        script
            .flags
            .iter()
            .fold(plan, |plan, flag| plan.flag(*flag))
    };
    let etcd = options.etcd();
    let plans = [plan(&etcd, "etcd"), plan(options.subject(), "subject")];
    let (reference, subject) = tokio::join!(Cluster::start(&plans[0]), Cluster::start(&plans[1]));
    let (mut reference, mut subject) = (reference?, subject?);
    let pair = Pair::open(&reference, &subject, STREAMS).await?;
    let mut player = Player::new(pair);
    let mut result = (script.body)(&mut player).await;
    if result.is_ok() {
        result = player.pair.finish().await;
    }
    if let Err(difference) = result {
        let casualties = [reference.casualty(), subject.casualty()];
        let told: Vec<String> = casualties.into_iter().flatten().collect();
        anyhow::bail!("{}\n{difference}\n{}", player.place(), told.join("\n"));
    }
    drop(player);
    reference.stop().await?;
    subject.stop().await
}
