//! The search must accept what is linearizable and refuse what is not, by order alone.

use super::*;
use crate::{real_time::Floors, samples};

fn run_windows(history: &History) -> Vec<Violation> {
    let timeline = Timeline::build(&history.members).unwrap();
    let ownership = crate::ownership::assign(history, &timeline, &Floors::new(history));
    let windows = windows(history, &timeline, &ownership);
    windows
        .iter()
        .filter_map(|window| check(window).err())
        .collect()
}

/// A step on key `x` that tells no revision, so that only the values speak.
fn put(call: u64, ret: u64, value: &str) -> Step {
    let (request, body) = (Request::put("x", value), Some(Body::Put { prev_kv: None }));
    Step {
        call,
        ret,
        request,
        revision: None,
        body,
    }
}

fn get(call: u64, ret: u64, found: Option<(&str, i64)>) -> Step {
    let kvs: Vec<_> = found
        .map(|(value, version)| crate::KeyValue {
            key: "x".into(),
            value: value.into(),
            create_revision: 2,
            mod_revision: 1 + version,
            version,
            lease: 0,
        })
        .into_iter()
        .collect();
    let count = kvs.len() as i64;
    let body = Some(Body::Range {
        kvs,
        more: false,
        count,
    });
    Step {
        call,
        ret,
        request: Request::get("x"),
        revision: None,
        body,
    }
}

fn verdict(mut steps: Vec<Step>) -> bool {
    steps.sort_by_key(|step| step.call);
    check(&Window {
        start: State::default(),
        steps,
    })
    .is_ok()
}

#[test]
fn good_histories_are_linearizable() {
    assert_eq!(run_windows(&samples::good()), []);
    for seed in 0..20 {
        assert_eq!(run_windows(&samples::random(seed, 3200)), [], "seed {seed}");
    }
}

#[test]
fn concurrent_reads_may_see_either_value() {
    let first = put(0, 1, "1");
    let second = put(10, 20, "2");
    for found in [("1", 1), ("2", 2)] {
        assert!(verdict(vec![
            first.clone(),
            second.clone(),
            get(12, 18, Some(found))
        ]));
    }
}

#[test]
fn a_stale_read_has_no_place() {
    assert!(!verdict(vec![
        put(0, 1, "1"),
        put(10, 20, "2"),
        get(30, 40, Some(("1", 1)))
    ]));
}

#[test]
fn new_then_old_has_no_place_even_while_the_write_is_open() {
    let steps = vec![
        put(0, 1, "1"),
        put(10, 100, "2"),
        get(20, 30, Some(("2", 2))),
        get(40, 50, Some(("1", 1))),
    ];
    assert!(!verdict(steps));
}

#[test]
fn a_lost_write_has_no_place() {
    assert!(!verdict(vec![put(0, 1, "1"), get(2, 3, None)]));
}

#[test]
fn a_wrong_revision_order_is_found_without_the_guided_rules() {
    // Two acknowledged writes far apart in time swap their revisions and everything they touched.
    let mut history = samples::random(3, 60);
    for log in &mut history.members {
        log.events.clear();
        log.through = 1;
    }
    history.operations.truncate(0);
    let operation = |client, call, revision| Operation {
        client,
        member: 0,
        call,
        ret: call + 1,
        request: Request::put(&format!("k{client}"), "v"),
        outcome: crate::Outcome::Ok(Response {
            revision,
            body: Body::Put { prev_kv: None },
        }),
    };
    history
        .operations
        .extend([operation(1, 10, 3), operation(2, 20, 2)]);
    let timeline = Timeline::build(&history.members).unwrap();
    let windows = windows(&history, &timeline, &Ownership::default());
    assert_eq!(check(&windows[0]).unwrap_err().rule, Rule::Linearizable);
}

#[test]
fn a_mutated_random_history_is_refused() {
    for seed in 0..10 {
        let mut history = samples::random(seed, 300);
        let index = history
            .operations
            .iter()
            .rposition(|op| {
                op.response().is_some_and(
                    |response| matches!(&response.body, Body::Range { kvs, .. } if !kvs.is_empty()),
                )
            })
            .unwrap();
        let body = &mut samples::response_mut(&mut history, index).unwrap().body;
        let Body::Range { kvs, .. } = body else {
            panic!()
        };
        kvs[0].version += 1;
        let rules = samples::rules(&run_windows(&history));
        assert_eq!(rules, [Rule::Linearizable], "seed {seed}");
    }
}

#[test]
fn a_lease_must_be_granted_before_it_is_used() {
    let grant = Step {
        call: 10,
        ret: 11,
        request: Request::LeaseGrant { id: 7, ttl: 5 },
        revision: Some(1),
        body: None,
    };
    let attach = |call| Step {
        request: Request::Put {
            key: "x".into(),
            value: "1".into(),
            lease: 7,
            prev_kv: false,
        },
        ..put(call, call + 1, "1")
    };
    assert!(verdict(vec![
        Step {
            revision: None,
            ..grant.clone()
        },
        attach(20)
    ]));
    assert!(!verdict(vec![
        Step {
            revision: None,
            ..grant
        },
        attach(0)
    ]));
}
