//! Each mutation breaks one rule, and the checker must name that rule.

use super::*;
use crate::samples::{self, index_of_last_get, index_of_write, response_mut, rules};

/// Rules broken by the good history after `mutate`.
fn broken(mutate: impl FnOnce(&mut History)) -> Vec<Rule> {
    let mut history = samples::good();
    mutate(&mut history);
    rules(&check(&history))
}

#[test]
fn the_good_history_passes() {
    assert_eq!(check(&samples::good()), []);
}

#[test]
fn random_good_histories_pass() {
    for seed in 0..40 {
        let found = check(&samples::random(seed, 400));
        assert_eq!(found, [], "seed {seed}");
    }
}

#[test]
fn overlapping_calls_of_one_client_are_no_history() {
    let found = broken(|history| history.operations[1].call = history.operations[0].call + 1);
    assert_eq!(found, [Rule::Malformed]);
}

#[test]
fn rule_1_members_must_agree() {
    let found = broken(|history| history.members[2].events[0].kv.value = "x".into());
    assert_eq!(found, [Rule::Truth]);
}

#[test]
fn rule_2_a_lost_acknowledged_write_is_found() {
    // A power cut took the last revision from everybody.
    let found = broken(|history| {
        for log in &mut history.members {
            log.through = 3;
            log.events.retain(|event| event.revision() <= 3);
        }
    });
    assert!(found.contains(&Rule::Ownership), "{found:?}");
}

#[test]
fn rule_2_two_owners_of_one_revision_are_found() {
    let found = broken(|history| {
        let index = index_of_write(history, 3);
        response_mut(history, index).unwrap().revision = 2;
    });
    assert!(found.contains(&Rule::Ownership), "{found:?}");
}

#[test]
fn rule_2_the_effects_must_be_those_of_the_revision() {
    let found = broken(|history| {
        let index = index_of_write(history, 3);
        history.operations[index].request = Request::put("b", "another");
    });
    assert_eq!(found, [Rule::Ownership]);
}

#[test]
fn rule_2_the_answer_of_a_write_is_checked_too() {
    let found = broken(|history| {
        let index = index_of_write(history, 4);
        response_mut(history, index).unwrap().body = Body::Put { prev_kv: None };
    });
    assert_eq!(found, [Rule::Ownership]);
}

#[test]
fn rule_3_a_read_of_a_wrong_value_is_found() {
    let found = broken(|history| {
        let index = index_of_last_get(history);
        let body = &mut response_mut(history, index).unwrap().body;
        let Body::Range { kvs, .. } = body else {
            panic!()
        };
        kvs[0].value = "v0".into();
    });
    assert_eq!(found, [Rule::Read]);
}

#[test]
fn rule_3_a_stale_read_must_still_be_true_at_its_revision() {
    let found = broken(|history| {
        let index = index_of_last_get(history) - 1;
        response_mut(history, index).unwrap().revision = 9;
    });
    assert_eq!(
        found,
        [Rule::Read],
        "the expired key is still in the answer"
    );
}

#[test]
fn rule_3_a_failed_compare_is_a_read() {
    let found = broken(|history| {
        let Outcome::Ok(response) = &mut history.operations[4].outcome else {
            panic!()
        };
        let Body::Txn { responses, .. } = &mut response.body else {
            panic!()
        };
        responses.clear();
    });
    assert_eq!(found, [Rule::Read]);
}

#[test]
fn rule_4_a_stale_linearizable_read_is_found() {
    let found = broken(|history| {
        let index = index_of_last_get(history);
        // True at revision 8, but the expiry at 9 had been seen.
        response_mut(history, index).unwrap().revision = 8;
        let call = history.operations[index].call;
        history.watchers[0]
            .replies
            .iter_mut()
            .for_each(|reply| reply.time = call - 1);
    });
    assert_eq!(found, [Rule::RealTime]);
}

#[test]
fn rule_5_an_unknown_write_may_not_be_found_twice() {
    let found = broken(|history| {
        // The store applied the same entry again, at the end.
        for log in &mut history.members {
            let mut again = log
                .events
                .iter()
                .find(|event| event.kv.key == "d")
                .unwrap()
                .clone();
            again.kv.mod_revision = 10;
            again.kv.version = 2;
            log.events.push(again);
            log.through = 10;
        }
    });
    assert_eq!(found, [Rule::UnknownWrite]);
}

#[test]
fn rule_5_an_unknown_write_may_not_come_before_its_call() {
    let found = broken(|history| {
        let index = history
            .operations
            .iter()
            .position(Operation::is_unknown)
            .unwrap();
        let mut late = history.operations.remove(index);
        late.client = 9;
        late.call = history.end;
        late.ret = history.end + 1;
        history.operations.push(late);
    });
    assert_eq!(found, [Rule::UnknownWrite]);
}

#[test]
fn rule_6_an_event_needs_a_request() {
    let found = broken(|history| {
        let index = history
            .operations
            .iter()
            .position(Operation::is_unknown)
            .unwrap();
        history.operations.remove(index);
    });
    assert_eq!(found, [Rule::Orphan]);
}

#[test]
fn rule_6_a_refused_request_may_not_appear() {
    let found = broken(|history| {
        let index = history
            .operations
            .iter()
            .position(Operation::is_unknown)
            .unwrap();
        let (code, message) = ("InvalidArgument".into(), "no".into());
        history.operations[index].outcome = Outcome::Failed { code, message };
    });
    assert_eq!(found, [Rule::Orphan]);
}

#[test]
fn a_read_below_a_completed_compaction_must_be_refused() {
    let found = broken(|history| {
        let index = index_of_last_get(history);
        let Request::Range { revision, key, .. } = &mut history.operations[index].request else {
            panic!()
        };
        *revision = 2;
        *key = "b".into();
        let body = Body::Range {
            kvs: Vec::new(),
            more: false,
            count: 0,
        };
        response_mut(history, index).unwrap().body = body;
    });
    assert_eq!(found, [Rule::Compaction]);
}

#[test]
fn a_refusal_as_compacted_needs_a_compaction() {
    let found = broken(|history| {
        history
            .operations
            .retain(|op| !matches!(op.request, Request::Compact { .. }));
    });
    assert_eq!(found, [Rule::Compaction]);
}

#[test]
fn ambiguous_deletes_are_matched_and_not_refused() {
    // Two unknown deletes of one key, one of them called too late for the first revision: a
    // greedy choice of the wrong one would refuse this correct history.
    let mut history = samples::good();
    let delete = |client, call| Operation {
        client,
        member: 0,
        call,
        ret: call + 1,
        request: Request::DeleteRange {
            key: "b".into(),
            range_end: String::new(),
            prev_kv: false,
        },
        outcome: Outcome::Unknown {
            message: "timed out".into(),
        },
    };
    let index = index_of_write(&history, 6);
    let call = history.operations.remove(index).call;
    history
        .operations
        .extend([delete(8, history.end), delete(9, call)]);
    assert_eq!(rules(&check(&history)), []);
}
