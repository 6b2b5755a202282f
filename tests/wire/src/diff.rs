use std::time::Instant;

use anyhow::Result;

use crate::cluster::{Cluster, Plan};
use crate::coverage::Coverage;
use crate::generate::{Generator, STREAMS};
use crate::listed::LISTED;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::pair::{Difference, Pair};
use crate::request::Op;
use xtask::tally::Tally;

/// Operations after which the watchers are compared even if nothing else asked for it.
const SETTLE_EVERY: usize = 40;
/// A run of fewer seeds than this is a replay, from which no coverage is asked.
const COVERAGE_SEEDS: u64 = 15;
const COVERAGE_OPS: usize = 200;

/// Runs every seed on fresh clusters; true when all of them passed and all that is listed was hit.
pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    let mut coverage = Coverage::default();
    let mut sent = 0;
    for seed in options.start_seed..options.start_seed + options.seeds {
        let since = Instant::now();
        let members = Generator::members(seed);
        let name = format!("seed {seed}, {members} members, {} operations", options.ops);
        match one(options, seed, &mut coverage).await {
            Ok(()) => tally.pass(&name, since),
            Err(error) => tally.fail(&name, &format!("{error:#}")),
        }
        sent += options.ops;
    }
    if options.report {
        println!("covered:\n{}", coverage.report());
    }
    let missing = coverage.missing(LISTED);
    if options.seeds >= COVERAGE_SEEDS && options.ops >= COVERAGE_OPS {
        let name = format!("coverage of {} listed names", LISTED.len());
        match missing.is_empty() {
            true => tally.pass(&name, Instant::now()),
            false => tally.fail(
                &name,
                &format!("  never hit: {}", missing.join("\n             ")),
            ),
        }
    }
    println!("{sent} operations");
    Ok(tally.close())
}

async fn one(options: &Options, seed: u64, coverage: &mut Coverage) -> Result<()> {
    let members = Generator::members(seed);
    let plans = [
        Plan::new(&options.etcd(), "etcd", members).tls(options.tls),
        Plan::new(options.subject(), "subject", members).tls(options.tls),
    ];
    let (reference, subject) = tokio::join!(Cluster::start(&plans[0]), Cluster::start(&plans[1]));
    let (mut reference, mut subject) = (reference?, subject?);
    let mut pair = Pair::open(&reference, &subject, STREAMS).await?;
    let result = sequence(&mut pair, options, seed, coverage).await;
    if let Err(error) = result {
        let casualties = [reference.casualty(), subject.casualty()];
        let told: Vec<String> = casualties.into_iter().flatten().collect();
        anyhow::bail!("{error}\n{}", told.join("\n"));
    }
    drop(pair);
    reference.stop().await?;
    subject.stop().await
}

async fn sequence(
    pair: &mut Pair,
    options: &Options,
    seed: u64,
    coverage: &mut Coverage,
) -> Result<()> {
    let mut generator = Generator::new(seed);
    for at in 0..options.ops {
        let op = generator.next(&pair.world);
        let told = |difference: Difference| {
            anyhow::anyhow!(
                "  seed {seed}, operation {at}: {}\n{difference}",
                op.describe()
            )
        };
        let outcome = pair.run(&op).await.map_err(told)?;
        if options.trace {
            trace(at, &op, &outcome);
        }
        coverage.observe(&op, &outcome);
        if at % SETTLE_EVERY == SETTLE_EVERY - 1 {
            pair.settle().await.map_err(told)?;
        }
    }
    let told = |difference| anyhow::anyhow!("  seed {seed}, at the end\n{difference}");
    pair.finish().await.map_err(told)
}

fn trace(at: usize, op: &Op, outcome: &Outcome) {
    println!("{at:>5} {}", op.describe());
    println!("      {}", crate::outcome::excerpt(&outcome.text, ""));
}
