//! `/livez` and `/readyz` with their checks, each with a path of its own as well.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::{Method, Response, StatusCode};
use mainstay_proto::etcdserverpb::{AlarmType, RangeRequest};

use super::{only_get, text, values};
use crate::context::Context;
use crate::error::Error;
use crate::grpc::Body;

/// One check under one of the two paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    pub kind: &'static str,
    pub name: &'static str,
    test: Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    NotCorrupt,
    LocalRead,
    ClusterRead,
    NotLearner,
}

/// Every check there is; the counters have the same order.
pub const CHECKS: [Check; 5] = [
    Check {
        kind: "livez",
        name: "serializable_read",
        test: Test::LocalRead,
    },
    Check {
        kind: "readyz",
        name: "data_corruption",
        test: Test::NotCorrupt,
    },
    Check {
        kind: "readyz",
        name: "serializable_read",
        test: Test::LocalRead,
    },
    Check {
        kind: "readyz",
        name: "linearizable_read",
        test: Test::ClusterRead,
    },
    Check {
        kind: "readyz",
        name: "non_learner",
        test: Test::NotLearner,
    },
];

/// How often each check has passed and failed, and how it went last.
#[derive(Default)]
pub struct CheckCounters([Counted; CHECKS.len()]);

#[derive(Default)]
struct Counted {
    passed: AtomicU64,
    failed: AtomicU64,
    last: AtomicU64,
}

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    All(&'static str),
    One(Check),
}

pub fn find(path: &str) -> Option<Asked> {
    match path {
        "/livez" => Some(Asked::All("livez")),
        "/readyz" => Some(Asked::All("readyz")),
        _ => {
            let (kind, name) = path.strip_prefix('/')?.split_once('/')?;
            let found = CHECKS
                .iter()
                .find(|check| check.kind == kind && check.name == name);
            found.copied().map(Asked::One)
        }
    }
}

/// Runs the checks; `exclude` leaves some out of a whole set, `verbose` names those that passed.
pub async fn answer(
    context: &Context,
    method: &Method,
    query: &str,
    asked: Asked,
) -> Response<Body> {
    if let Some(refused) = only_get(method) {
        return refused;
    }
    let excluded = values(query, "exclude");
    let mut lines = String::new();
    let mut failed = false;
    for (at, check) in CHECKS
        .iter()
        .enumerate()
        .filter(|(_, check)| asked.has(check, &excluded))
    {
        let result = run(context, *check).await;
        if let Some(counters) = context.observed.checks.0.get(at) {
            counters.count(result.is_ok());
        }
        failed |= result.is_err();
        lines.push_str(&line(check.name, &result));
    }
    if failed {
        tracing::warn!(reason = lines, "a health check failed");
        return text(StatusCode::SERVICE_UNAVAILABLE, lines + "\n");
    }
    let verbose = url::form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "verbose");
    let head = if verbose { lines } else { String::new() };
    text(StatusCode::OK, head + "ok\n")
}

/// Reads a key nobody has, locally or with the cluster's agreement.
pub async fn read(context: &Context, serializable: bool) -> Result<(), Error> {
    if !serializable {
        context
            .node
            .read_barrier(context.deadline())
            .await
            .map_err(Error::from)?;
    }
    let nothing = RangeRequest {
        keys_only: true,
        limit: 1,
        ..Default::default()
    };
    context.store().range(&RangeRequest {
        key: vec![0].into(),
        ..nothing
    })?;
    Ok(())
}

async fn run(context: &Context, check: Check) -> Result<(), String> {
    match check.test {
        Test::NotCorrupt => {
            let alarms = context.view.alarms();
            if alarms
                .iter()
                .any(|alarm| alarm.alarm == AlarmType::Corrupt as i32)
            {
                return Err("alarm activated: CORRUPT".to_owned());
            }
            Ok(())
        }
        Test::LocalRead => read(context, true).await.map_err(|error| error.to_string()),
        Test::ClusterRead => read(context, false)
            .await
            .map_err(|error| error.to_string()),
        Test::NotLearner if context.node.is_learner() => {
            Err("not supported for learner".to_owned())
        }
        Test::NotLearner => Ok(()),
    }
}

fn line(name: &str, result: &Result<(), String>) -> String {
    match result {
        Ok(()) => format!("[+]{name} ok\n"),
        Err(reason) => format!("[-]{name} failed: {reason}\n"),
    }
}

impl Asked {
    fn has(self, check: &Check, excluded: &[String]) -> bool {
        match self {
            Asked::One(one) => one == *check,
            Asked::All(kind) => {
                check.kind == kind && !excluded.iter().any(|name| name == check.name)
            }
        }
    }
}

impl Counted {
    fn count(&self, passed: bool) {
        let counter = if passed { &self.passed } else { &self.failed };
        counter.fetch_add(1, Relaxed);
        self.last.store(passed.into(), Relaxed);
    }
}

impl CheckCounters {
    /// Of each check that has run: how often it passed, how often it failed, how it went last.
    pub fn run(&self) -> Vec<(Check, u64, u64, u64)> {
        let all = CHECKS.iter().zip(&self.0);
        all.map(|(check, counted)| {
            let load = |counter: &AtomicU64| counter.load(Relaxed);
            (
                *check,
                load(&counted.passed),
                load(&counted.failed),
                load(&counted.last),
            )
        })
        .filter(|(_, passed, failed, _)| passed + failed > 0)
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(find("/livez"), Some(Asked::All("livez")));
        let one = find("/readyz/non_learner").unwrap();
        assert!(CHECKS.iter().filter(|check| one.has(check, &[])).count() == 1);
        assert_eq!(find("/livez/non_learner"), None);
        assert_eq!(find("/readyz/other"), None);
        assert_eq!(find("/v3/kv/range"), None);
    }

    #[test]
    fn excluded_checks_are_left_out_of_the_whole_only() {
        let all = find("/readyz").unwrap();
        let excluded = ["linearizable_read".to_owned(), "unknown".to_owned()];
        let left: Vec<_> = CHECKS
            .iter()
            .filter(|check| all.has(check, &excluded))
            .map(|c| c.name)
            .collect();
        assert_eq!(
            left,
            ["data_corruption", "serializable_read", "non_learner"]
        );
        let one = find("/readyz/linearizable_read").unwrap();
        assert!(CHECKS.iter().any(|check| one.has(check, &excluded)));
    }

    #[test]
    fn lines_are_etcds() {
        assert_eq!(
            line("serializable_read", &Ok(())),
            "[+]serializable_read ok\n"
        );
        let failure = Err(Error::Timeout.to_string());
        assert_eq!(
            line("linearizable_read", &failure),
            "[-]linearizable_read failed: etcdserver: request timed out\n"
        );
    }

    #[test]
    fn counters_are_absent_until_first_use() {
        let counters = CheckCounters::default();
        assert!(counters.run().is_empty());
        counters.0[1].count(true);
        counters.0[1].count(false);
        assert_eq!(counters.run(), [(CHECKS[1], 1, 1, 0)]);
    }
}
