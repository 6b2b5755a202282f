//! Rules of txns.

use mainstay_apply::{ApplyError, Outcome, is_read_only, read_txn};
use mainstay_proto::{
    entry::command::Body,
    etcdserverpb::{
        PutRequest, RangeRequest, ResponseOp, TxnRequest, TxnResponse,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
        response_op::Response,
    },
};

use crate::support::{World, compare, delete, op, put, put_request, range, txn};

fn run(world: &mut World, txn: TxnRequest) -> TxnResponse {
    match world.ok(Body::Txn(txn)) {
        Outcome::Txn(response) => response,
        other => panic!("{other:?} is no answer to a txn"),
    }
}

/// Revision in the header of an inner response; 0 for a nested txn's, which is empty.
fn inner_revision(op: &ResponseOp) -> i64 {
    let header = match op.response.as_ref().expect("a response") {
        Response::ResponseRange(response) => response.header.as_ref(),
        Response::ResponsePut(response) => response.header.as_ref(),
        Response::ResponseDeleteRange(response) => response.header.as_ref(),
        Response::ResponseTxn(response) => response.header.as_ref(),
    };
    header.expect("a header").revision
}

#[test]
fn inner_headers_show_the_new_revision_from_the_first_write_on() {
    let mut world = World::new(-1);
    world.ok(put("a", "1"));
    let ops = vec![
        Request::RequestRange(range("a", "")),
        Request::RequestDeleteRange(delete("nothing", "")),
        Request::RequestPut(put_request("b", "1")),
        Request::RequestRange(range("a", "z")),
        Request::RequestDeleteRange(delete("nothing", "")),
        Request::RequestTxn(txn(
            vec![],
            vec![Request::RequestPut(put_request("c", "1"))],
            vec![],
        )),
    ];
    let response = run(&mut world, txn(vec![], ops, vec![]));
    assert_eq!(response.header.as_ref().expect("a header").revision, 3);
    let revisions: Vec<_> = response.responses.iter().map(inner_revision).collect();
    assert_eq!(revisions, [2, 2, 3, 3, 3, 0]);
    let Some(Response::ResponseRange(seen)) = &response.responses[3].response else {
        panic!("a range")
    };
    assert_eq!(seen.kvs.len(), 2, "a range sees what was put before it");
}

#[test]
fn nested_compares_are_decided_before_anything_is_written() {
    let mut world = World::new(-1);
    let missing = || {
        let zero = TargetUnion::CreateRevision(0);
        compare("a", CompareTarget::Create, CompareResult::Equal, zero)
    };
    let inner = txn(
        vec![missing()],
        vec![Request::RequestPut(put_request("b", "then"))],
        vec![Request::RequestPut(put_request("b", "else"))],
    );
    let ops = vec![
        Request::RequestPut(put_request("a", "1")),
        Request::RequestTxn(inner),
    ];
    let response = run(&mut world, txn(vec![missing()], ops, vec![]));
    assert!(response.succeeded);
    assert_eq!(world.records()[1].value.as_ref(), b"then");
}

#[test]
fn a_txn_that_fails_leaves_nothing() {
    let mut world = World::new(-1);
    world.ok(put("a", "1"));
    let before = world.records();
    let put_b = || Request::RequestPut(put_request("b", "1"));
    let future = Request::RequestRange(RangeRequest {
        revision: 3,
        ..range("a", "")
    });
    let bad_lease = Request::RequestPut(PutRequest {
        lease: 9,
        ..put_request("c", "1")
    });
    let keeps = PutRequest {
        ignore_value: true,
        ..put_request("c", "")
    };
    let both = PutRequest {
        lease: 9,
        ..keeps.clone()
    };
    let cases = [
        (future, ApplyError::FutureRevision),
        (bad_lease, ApplyError::LeaseNotFound),
        (Request::RequestPut(both), ApplyError::LeaseNotFound),
        (Request::RequestPut(keeps), ApplyError::KeyNotFound),
    ];
    for (bad, error) in cases {
        let flat = txn(vec![], vec![put_b(), bad.clone()], vec![]);
        assert_eq!(world.refused(Body::Txn(flat)), error);
        let inner = Request::RequestTxn(txn(vec![], vec![bad.clone()], vec![]));
        let nested = txn(vec![], vec![put_b(), inner], vec![]);
        assert_eq!(world.refused(Body::Txn(nested)), error);
        // In the branch that is not taken it does not matter.
        let other = txn(
            vec![],
            vec![Request::RequestRange(range("a", ""))],
            vec![bad],
        );
        run(&mut world, other);
        assert_eq!(world.records(), before);
        assert_eq!(world.revision(), 2);
    }
    let empty = TxnRequest {
        success: vec![Default::default()],
        ..TxnRequest::default()
    };
    assert_eq!(world.refused(Body::Txn(empty)), ApplyError::KeyNotFound);
}

#[test]
fn a_compare_over_a_range_must_hold_for_every_key() {
    let mut world = World::new(-1);
    for key in ["a", "b", "c"] {
        world.ok(put(key, "x"));
    }
    world.ok(put("b", "x"));
    let over = |from: &str, end: &str, version: i64| {
        let union = TargetUnion::Version(version);
        let mut compare = compare(from, CompareTarget::Version, CompareResult::Equal, union);
        compare.range_end = end.as_bytes().to_vec().into();
        txn(vec![compare], vec![], vec![])
    };
    assert!(run(&mut world, over("a", "b", 1)).succeeded);
    assert!(!run(&mut world, over("a", "d", 1)).succeeded);
    assert!(
        run(&mut world, over("x", "z", 0)).succeeded,
        "no key is one missing key"
    );
    assert!(!run(&mut world, over("x", "z", 1)).succeeded);
}

#[test]
fn a_range_compare_reads_as_many_chunks_as_it_takes() {
    let mut world = World::new(-1);
    let puts = (0..2500).map(|n| put(&format!("k{n:04}"), "x")).collect();
    world.apply_all(puts).expect("puts");
    let mut all = compare(
        "k",
        CompareTarget::Value,
        CompareResult::Equal,
        TargetUnion::Value("x".into()),
    );
    all.range_end = "l".into();
    assert!(run(&mut world, txn(vec![all.clone()], vec![], vec![])).succeeded);
    world.ok(put("k2499", "y"));
    assert!(!run(&mut world, txn(vec![all], vec![], vec![])).succeeded);
}

#[test]
fn a_txn_of_ranges_is_answered_without_an_entry() {
    let mut world = World::new(-1);
    world.ok(put("a", "1"));
    world.ok(put("b", "2"));
    let exists = compare(
        "a",
        CompareTarget::Value,
        CompareResult::Equal,
        TargetUnion::Value("1".into()),
    );
    let old = Request::RequestRange(RangeRequest {
        revision: 2,
        ..range("a", "z")
    });
    let now = Request::RequestRange(range("a", "z"));
    let read = txn(vec![exists], vec![old, now], vec![]);
    assert!(is_read_only(&read));
    let store = world.view.store();
    let answer = read_txn(&store, &read).expect("an answer");
    assert_eq!(
        answer,
        run(&mut world, read.clone()),
        "as apply would answer it"
    );
    let mut write = read.clone();
    write
        .failure
        .push(op(Request::RequestTxn(TxnRequest::default())));
    assert!(!is_read_only(&write));
    let mut ahead = read;
    let future = RangeRequest {
        revision: 4,
        ..range("a", "")
    };
    ahead.success.push(op(Request::RequestRange(future)));
    assert_eq!(read_txn(&store, &ahead), Err(ApplyError::FutureRevision));
}
