//! Each mutation breaks one promise about leases.

use super::*;
use crate::samples::{self, LEASE, rules};

fn broken(mutate: impl FnOnce(&mut History)) -> Vec<Rule> {
    let mut history = samples::good();
    mutate(&mut history);
    let timeline = Timeline::build(&history.members).unwrap();
    let floors = Floors::new(&history);
    let ownership = crate::ownership::assign(&history, &timeline, &floors);
    rules(&check(&history, &timeline, &ownership, &floors))
}

fn attach(history: &mut History) -> &mut Operation {
    let attaches =
        |operation: &&mut Operation| matches!(operation.request, Request::Put { lease: LEASE, .. });
    history.operations.iter_mut().find(attaches).unwrap()
}

#[test]
fn the_good_history_keeps_its_promises() {
    assert_eq!(broken(|_| {}), []);
}

#[test]
fn an_expiry_before_the_time_of_a_renewal_is_found() {
    let found = broken(|history| {
        // Renewed one second before a watcher saw the end of its key.
        let mut renewal = history.operations[8].clone();
        renewal.client = 2;
        renewal.call = history.end - SECOND;
        renewal.ret = renewal.call + 1;
        history.operations.push(renewal);
        history.watchers[0]
            .replies
            .iter_mut()
            .for_each(|reply| reply.time = history.end);
        history
            .operations
            .retain(|operation| operation.call < history.end - SECOND / 10);
    });
    assert_eq!(found, [Rule::LeaseEarly]);
}

#[test]
fn a_renewal_that_is_told_of_no_lease_too_soon_is_found() {
    let found = broken(|history| {
        let mut renewal = history.operations[8].clone();
        renewal.client = 2;
        renewal.call += SECOND;
        renewal.ret = renewal.call + 1;
        let revision = renewal.response().unwrap().revision;
        let body = Body::LeaseKeepAlive { ttl: 0 };
        renewal.outcome = Outcome::Ok(crate::Response { revision, body });
        history.operations.push(renewal);
    });
    assert_eq!(found, [Rule::LeaseDenied]);
}

#[test]
fn an_expiry_that_never_comes_is_found() {
    let found = broken(|history| {
        for log in &mut history.members {
            log.events.pop();
            log.through -= 1;
        }
        history.end += 20 * SECOND;
    });
    assert_eq!(found, [Rule::LeaseLate]);
}

#[test]
fn a_late_expiry_is_found_and_a_fault_excuses_it() {
    let late = |history: &mut History, fault: u64| {
        let mut read = history.operations[10].clone();
        read.client = 2;
        read.call += 9 * SECOND;
        read.ret = read.call + 1;
        history.operations.push(read);
        let start = history.operations[10].ret;
        history.faults.push(Fault {
            kind: "pause".into(),
            start,
            end: start + fault,
        });
    };
    assert_eq!(
        broken(|history| late(history, 0)),
        [],
        "a leader change gives a full time more"
    );
    assert_eq!(
        broken(|history| {
            late(history, 0);
            history.faults.clear();
        }),
        [Rule::LeaseLate]
    );
}

#[test]
fn a_key_on_a_lease_nobody_granted_is_found() {
    let found = broken(|history| {
        let grants =
            |operation: &Operation| matches!(operation.request, Request::LeaseGrant { .. });
        history.operations.retain(|operation| !grants(operation));
    });
    assert_eq!(found, [Rule::LeaseDead]);
}

#[test]
fn a_key_on_a_revoked_lease_is_found() {
    let found = broken(|history| {
        let mut revoke = attach(history).clone();
        revoke.request = Request::LeaseRevoke { id: LEASE };
        revoke.ret = revoke.call - 1;
        revoke.call -= 2;
        revoke.client = 2;
        revoke.outcome = Outcome::Ok(crate::Response {
            revision: 6,
            body: Body::LeaseRevoke,
        });
        history.operations.push(revoke);
    });
    assert_eq!(found, [Rule::LeaseDead]);
}

#[test]
fn a_key_on_an_expired_lease_is_found() {
    let found = broken(|history| {
        let mut put = attach(history).clone();
        put.client = 2;
        put.call = history.end;
        put.ret = history.end + 1;
        if let Outcome::Ok(response) = &mut put.outcome {
            response.revision = 10;
        }
        history.operations.push(put);
    });
    assert_eq!(found, [Rule::LeaseDead]);
}
