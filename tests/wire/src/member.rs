//! The life of members as an operator leads it: etcdctl and processes, the same steps with etcd and
//! with the server under test, and what each step shows must be equal.

pub mod discovery;
pub mod records;
pub mod site;
pub mod steps;

use std::time::Instant;

use anyhow::Result;

use crate::cluster::Plan;
use crate::names::Names;
use crate::options::Options;
use crate::outcome::excerpt;
use site::Site;
use xtask::tally::Tally;

pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    for (name, size, steps) in steps::ALL {
        if !options.wants(name) {
            continue;
        }
        if [records::PLAIN, records::OVER_TLS].contains(name) && !Names::may_run().await {
            println!("left out: {name}, which needs root: a name server and a mount namespace");
            continue;
        }
        let since = Instant::now();
        match compare(options, *size, *steps).await {
            Ok(()) => tally.pass(name, since),
            Err(error) => tally.fail(name, &format!("{error:#}")),
        }
    }
    Ok(tally.close())
}

/// Takes the steps on both sides at the same time and compares what they wrote down.
async fn compare(options: &Options, size: usize, steps: steps::Steps) -> Result<()> {
    let open = async |binary: std::path::PathBuf, label| {
        let plan = Plan::new(&binary, label, size);
        let mut site = Site::open(&plan, options).await?;
        let done = steps(&mut site).await;
        if let Err(error) = &done {
            site.note(&format!("the steps end: {error:#}"));
        }
        anyhow::Ok((site.take(), done))
    };
    let (reference, subject) = tokio::join!(
        open(options.etcd(), "etcd"),
        open(options.subject.clone(), "subject")
    );
    let ((reference, done), (subject, done_too)) = (reference?, subject?);
    if reference != subject {
        let (a, b) = (reference.join("\n"), subject.join("\n"));
        anyhow::bail!(
            "  reference:  {}\n  subject:    {}",
            excerpt(&a, &b),
            excerpt(&b, &a)
        );
    }
    done.and(done_too)
}
