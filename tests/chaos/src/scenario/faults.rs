//! Kills, stops and power cuts under load, on a seeded schedule.

use std::{collections::BTreeMap, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use crate::{cluster::Setup, faults, load::Plan, options::Options, session::Session, tally::Tally};

/// # Errors
/// If it cannot be carried out on this machine.
pub async fn run(options: &Options, tally: &mut Tally) -> anyhow::Result<()> {
    if !options.mounts {
        println!("left out: power cuts (mounting a file system needs root)");
    }
    let mut random = StdRng::seed_from_u64(options.seed);
    let setup = Setup {
        members: options.members,
        ..Setup::default()
    };
    let mut session = Session::start(options, "run", &setup, Plan::default(), &mut random).await?;
    let deadline = Instant::now() + Duration::from_secs(options.seconds);
    let recorder = std::sync::Arc::clone(&session.recorder);
    let injected = faults::run(
        &mut session.cluster,
        &recorder,
        options.mounts,
        deadline,
        &mut random,
    )
    .await;
    let kinds = injected.as_ref().map(|faults| {
        let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
        for fault in faults {
            *kinds.entry(fault.name()).or_default() += 1;
        }
        kinds
    });
    if let Ok(kinds) = &kinds {
        println!("{kinds:?}");
    }
    tally.outcome(
        "the cluster came back after every fault",
        injected.map(|_| ()),
    );
    session.finish(tally).await?;
    Ok(())
}
