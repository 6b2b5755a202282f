//! The log: one JSON object a line with zap's keys, as log collectors know it from etcd.
//!
//! Lines go through a bounded queue to a thread that writes them. A reader that stalls, a full
//! pipe for one, costs lines and never a request; how many is counted.

mod line;
mod rotation;
mod writer;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::LogSettings;

pub use writer::Guard;

/// Our crates' names all begin with this; other crates are heard from warnings on.
const OWN: &str = "mainstay";
/// openraft warns of every try to reach a member that is down, several times a second.
const REPEATS_ITSELF: &str = "openraft";
/// Exit code where an output of `--log-outputs` cannot be opened.
const EXIT_WRONG: i32 = 2;

/// Starts logging for the whole process. The log ends with the guard.
pub fn start(settings: &LogSettings) -> Guard {
    let (writer, guard) = match writer::open(&settings.outputs, settings.rotation.as_ref()) {
        Ok(opened) => opened,
        Err((path, error)) => {
            eprintln!(
                "mainstay: invalid value for flag -log-outputs: {}: {error}",
                path.display()
            );
            std::process::exit(EXIT_WRONG);
        }
    };
    let level = settings.level.parse().unwrap_or(LevelFilter::INFO);
    let others = level.min(LevelFilter::WARN);
    let repeats = match level >= LevelFilter::DEBUG {
        true => others,
        false => level.min(LevelFilter::ERROR),
    };
    let targets = Targets::new()
        .with_default(others)
        .with_target(REPEATS_ITSELF, repeats)
        .with_target(OWN, level);
    let layer = line::Layer {
        writer,
        json: settings.json,
    };
    // Fails only where a test has set a subscriber of its own.
    let _ = tracing_subscriber::registry()
        .with(targets)
        .with(layer)
        .try_init();
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    guard
}

/// Lines that were dropped since the process began.
pub fn dropped() -> Arc<AtomicU64> {
    writer::DROPPED.clone()
}
