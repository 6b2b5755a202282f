//! `mainstay-charts`: writes what is made from the chart, and tests the chart, the samples, the alerts
//! and the definitions.
//!
//! The first half of the suite needs helm only. The second half starts a real API server, because only
//! that knows whether an object is valid, what a CEL rule says, and what a service account may do.
//! The operator runs against it too, but no pods do: clusters at work are the business of
//! `tests/cluster`. Read `suite.rs` first.

mod account;
mod alerts;
mod chart;
mod derived;
mod flags;
mod helm;
mod images;
mod install;
mod kubernetes;
mod manifest;
mod operator;
mod refusals;
mod rights;
mod samples;
mod suite;
mod switches;
mod tools;
mod values;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
mainstay-charts render   write the chart's copies and the kustomize base anew
mainstay-charts lint     the part of the suite that needs helm only
mainstay-charts test     the whole suite, with a real API server
  environment: MAINSTAY_PEERS
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mainstay-charts: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// False when a suite has failed.
fn run(arguments: &[String]) -> Result<bool> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["render"] => derived::write().map(|()| true),
        ["lint"] => suite::run(false),
        ["test"] => suite::run(true),
        _ => {
            eprint!("{USAGE}");
            bail!("no such command: {}", words.join(" "))
        }
    }
}
