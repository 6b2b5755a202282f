//! All checkers over one history.

use std::time::Instant;

use mainstay_model::{
    History, Rule, Timeline, Violation, guided, lease, ownership, real_time::Floors, watch, wgl,
};

use crate::tally::Tally;

/// One checker's answer.
#[derive(Debug)]
pub struct Check {
    pub name: &'static str,
    pub violations: Vec<Violation>,
}

/// Runs every checker. The later ones need a truth that the first one accepts.
#[must_use]
pub fn judge(history: &History) -> Vec<Check> {
    let guided = Check {
        name: "revision-guided linearizability",
        violations: guided::check(history),
    };
    let Ok(timeline) = Timeline::build(&history.members) else {
        return vec![guided];
    };
    let floors = Floors::new(history);
    let ownership = ownership::assign(history, &timeline, &floors);
    let windows = wgl::windows(history, &timeline, &ownership);
    println!(
        "{} windows searched, {} leases seen to expire",
        windows.len(),
        ownership.expiries.len()
    );
    let searched = windows
        .iter()
        .filter_map(|window| wgl::check(window).err())
        .collect();
    vec![
        guided,
        Check {
            name: "linearizability by search",
            violations: searched,
        },
        Check {
            name: "nine watch validators",
            violations: watch::check(history, &timeline),
        },
        Check {
            name: "leases",
            violations: lease::check(history, &timeline, &ownership, &floors),
        },
    ]
}

/// Judges, prints, and returns everything that was found. Violations of the `known` rules are
/// printed and not counted.
pub fn report(history: &History, known: &[Rule], tally: &mut Tally) -> Vec<Violation> {
    println!("{}", summary(history));
    let start = Instant::now();
    let mut checks = judge(history);
    println!("judged in {:.1} s", start.elapsed().as_secs_f64());
    for check in &mut checks {
        let defects = check
            .violations
            .extract_if(.., |found| known.contains(&found.rule));
        defects.for_each(|defect| println!("known defect of this server: {defect}"));
        tally.check(check.name, &check.violations);
    }
    checks
        .into_iter()
        .flat_map(|check| check.violations)
        .collect()
}

fn summary(history: &History) -> String {
    let answered = history
        .operations
        .iter()
        .filter(|op| op.response().is_some())
        .count();
    let unknown = history
        .operations
        .iter()
        .filter(|op| op.is_unknown())
        .count();
    let refused = history.operations.len() - answered - unknown;
    let revisions = history
        .members
        .iter()
        .map(|log| log.through)
        .max()
        .unwrap_or(1);
    let replies = history.watchers.iter().flat_map(|watcher| &watcher.replies);
    let (mut events, mut progress) = (0, 0);
    for reply in replies {
        events += reply.events.len();
        progress += usize::from(reply.is_progress());
    }
    format!(
        "{} operations ({answered} answered, {unknown} unknown, {refused} refused), {revisions} \
         revisions, {} watches with {events} events and {progress} progress responses, {} faults",
        history.operations.len(),
        history.watchers.len(),
        history.faults.len()
    )
}
