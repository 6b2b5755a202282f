//! What an operator sees and sets of a member beside its data: traces, log files, and the limits of a
//! connection, each compared with etcd's.

mod frames;
mod limits;
mod log_file;
mod traces;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::options::Options;
use xtask::tally::Tally;

pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    for case in ["traces", "log rotation", "pings", "concurrent streams"] {
        if !options.wants(case) {
            continue;
        }
        let since = Instant::now();
        let outcome = match case {
            "traces" => traces::check(options).await,
            "log rotation" => log_file::check(options).await,
            "pings" => limits::pings(options).await,
            _ => limits::streams(options).await,
        };
        match outcome {
            Ok(()) => tally.pass(case, since),
            Err(error) => tally.fail(case, &format!("  {error:#}")),
        }
    }
    Ok(tally.close())
}

/// Does the same with each product at the same time, and compares what came of it.
async fn alike<T: PartialEq + std::fmt::Debug>(
    options: &Options,
    act: impl AsyncFn(&Path, &'static str) -> Result<T>,
) -> Result<T> {
    let etcd = options.etcd();
    let both = tokio::join!(act(&etcd, "etcd"), act(options.subject(), "subject"));
    let (reference, subject) = (both.0?, both.1?);
    if reference != subject {
        anyhow::bail!("reference: {reference:#?}\n  subject:   {subject:#?}");
    }
    Ok(subject)
}
