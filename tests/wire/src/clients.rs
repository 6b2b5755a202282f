//! Client libraries of several languages on three members with TLS on every listener: each runs a
//! script of what its documentation shows, on etcd and on the server under test, and must see the
//! same.
//!
//! Without `--plain` the members also ask for users: the scripts run as one that may use few keys,
//! and see what it is refused and what root may do. Tokens are signed there: a member of etcd may be
//! asked with a simple token before it has heard of it, and then refuses.

mod program;
mod rust;
mod users;

use std::time::Instant;

use anyhow::Result;

use crate::options::Options;
use crate::tls::site::Site;
use program::{PROGRAMS, Programs};
use xtask::tally::Tally;

/// What a script saw, a line a step.
type Saw = Result<Vec<String>>;

pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    let programs = Programs::find(options)?;
    let etcd = options.etcd();
    let with_users = !options.plain;
    let (reference, subject) = tokio::try_join!(
        Site::without_client_certificates(&etcd, with_users),
        Site::without_client_certificates(options.subject(), with_users)
    )?;
    if with_users {
        tokio::try_join!(users::set_up(&reference), users::set_up(&subject))?;
    }
    // First, because its script compares revisions.
    if options.wants("rust") {
        let since = Instant::now();
        let (a, b) = tokio::join!(
            rust::run(&reference, with_users),
            rust::run(&subject, with_users)
        );
        judge(&mut tally, "clients rust", since, a, b);
    }
    for program in PROGRAMS {
        let name = format!("clients {}", program.name);
        if !options.wants(&name) {
            continue;
        }
        let since = Instant::now();
        let (a, b) = tokio::join!(
            programs.run(program, &reference, with_users),
            programs.run(program, &subject, with_users)
        );
        judge(&mut tally, &name, since, a, b);
    }
    Ok(tally.close())
}

/// Both must have come to their end, and seen the same.
fn judge(tally: &mut Tally, name: &str, since: Instant, reference: Saw, subject: Saw) {
    match (reference, subject) {
        (Ok(a), Ok(b)) => match difference(&a, &b) {
            None => tally.pass(&format!("{name}, {} steps", a.len()), since),
            Some(report) => tally.fail(name, &report),
        },
        (a, b) => {
            let mut report = Vec::new();
            for (side, saw) in [("etcd", a), ("subject", b)] {
                report.push(match saw {
                    Ok(lines) => format!("  {side}: {} steps", lines.len()),
                    Err(error) => format!("  {side}: {error:#}"),
                });
            }
            tally.fail(name, &report.join("\n"));
        }
    }
}

/// The first step that differs; no step at all is a difference too.
fn difference(reference: &[String], subject: &[String]) -> Option<String> {
    if reference == subject && !reference.is_empty() {
        return None;
    }
    let same = reference.iter().zip(subject).take_while(|(a, b)| a == b);
    let at = same.count();
    Some(format!(
        "  etcd:    {:?}\n  subject: {:?}",
        reference.get(at),
        subject.get(at)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_steps_are_equal() {
        let lines = |words: &str| -> Vec<String> { words.split(' ').map(str::to_owned).collect() };
        assert_eq!(difference(&lines("a b"), &lines("a b")), None);
        for (reference, subject) in [
            (lines("a b"), lines("a c")),
            (lines("a b"), lines("a")),
            (lines("a"), lines("a b")),
            (Vec::new(), Vec::new()),
        ] {
            assert!(difference(&reference, &subject).is_some());
        }
    }
}
