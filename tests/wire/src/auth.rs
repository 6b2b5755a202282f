//! Users, roles, tokens and what they permit: the same calls go to etcd and to the server under
//! test, by callers of every kind, and must be refused or let through alike, with the same text.

mod advisories;
mod canary;
mod certificate;
mod guessing;
mod jwt;
mod matrix;
mod members;
mod ranges;
mod rpc;
mod stage;
mod texts;
mod travel;

use std::time::Instant;

use anyhow::Result;

use crate::options::Options;
use xtask::tally::Tally;

/// Runs every part; each has clusters of its own.
pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    for part in PARTS {
        if !options.wants(part) {
            continue;
        }
        let since = Instant::now();
        let name = format!("auth {part}");
        let ended = match *part {
            "texts" => texts::run(options).await,
            "matrix" => matrix::run(options).await,
            "ranges" => ranges::run(options).await,
            "jwt" => jwt::run(options).await,
            "travel" => travel::run(options).await,
            "canary" => canary::run(options).await,
            "certificate" => certificate::run(options).await,
            "guessing" => guessing::run(options).await,
            "members" => members::run(options).await,
            advisory => advisories::run(options, advisory).await,
        };
        match ended {
            Ok(()) => tally.pass(&name, since),
            Err(error) => tally.fail(&name, &format!("  {error:#}")),
        }
    }
    Ok(tally.close())
}

const PARTS: &[&str] = &[
    "texts",
    "matrix",
    "ranges",
    "jwt",
    "travel",
    "canary",
    "certificate",
    "guessing",
    "members",
    "CVE-2026-33413",
    "CVE-2026-33343",
    "CVE-2026-44283",
    "GHSA-xg4h-6gfc-h4m8",
    "CVE-2023-32082",
    "CVE-2018-16886",
    "CVE-2021-28235",
    "alarm-does-not-remove-auth",
    "revoked-right-ends-watch",
];
