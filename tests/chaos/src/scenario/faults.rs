//! Kills, stops and power cuts under load, on a seeded schedule.

use std::{collections::BTreeMap, time::Duration};

use mainstay_model::{History, Request};
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use crate::{cluster::Setup, faults, load::Plan, options::Options, session::Session, tally::Tally};

/// Answers that even a slow machine gives in a second between faults.
const MIN_ANSWERS_PER_SECOND: usize = 10;

/// In this time the schedule gets through every kind of fault once.
const ALL_KINDS_SECONDS: u64 = 90;

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
        expected_kinds(options) > 0,
        &mut random,
    )
    .await;
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for fault in injected.iter().flatten() {
        *kinds.entry(fault.name()).or_default() += 1;
    }
    println!("{kinds:?}");
    tally.outcome(
        "the cluster came back after every fault",
        injected.map(|_| ()),
    );
    let findings = session.finish(tally).await?;
    tally.check(
        "the run put the store to the test",
        &shortfalls(&findings.history, options, &kinds),
    );
    Ok(())
}

/// What a run of this length must hold. A load that did nothing would pass every checker.
fn shortfalls(history: &History, options: &Options, kinds: &BTreeMap<&str, u32>) -> Vec<String> {
    let answered = history
        .operations
        .iter()
        .filter(|operation| operation.response().is_some());
    let unknown = history
        .operations
        .iter()
        .filter(|operation| operation.is_unknown());
    let replies = || history.watchers.iter().flat_map(|watcher| &watcher.replies);
    let renewals = history.operations.iter().filter(|operation| {
        matches!(operation.request, Request::LeaseKeepAlive { .. })
            && operation.response().is_some()
    });
    let seconds = options.seconds as usize;
    let counts = [
        (
            "answered operations",
            answered.count(),
            seconds * MIN_ANSWERS_PER_SECOND,
        ),
        ("unknown outcomes", unknown.count(), kinds.len()),
        (
            "watch events",
            replies().map(|reply| reply.events.len()).sum(),
            seconds * 20,
        ),
        (
            "progress responses",
            replies().filter(|reply| reply.is_progress()).count(),
            seconds,
        ),
        ("lease renewals", renewals.count(), seconds / 4),
        ("kinds of fault", kinds.len(), expected_kinds(options)),
    ];
    let few = counts.into_iter().filter(|(_, count, least)| count < least);
    few.map(|(what, count, least)| format!("{count} {what}, fewer than {least}"))
        .collect()
}

/// In a long enough run every kind that is possible here comes at least once.
fn expected_kinds(options: &Options) -> usize {
    match (
        options.seconds >= ALL_KINDS_SECONDS && options.members > 1,
        options.mounts,
    ) {
        (false, _) => 0,
        (true, false) => 6,
        (true, true) => 8,
    }
}
