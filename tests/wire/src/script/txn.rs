use mainstay_proto::etcdserverpb::{self as pb, compare, request_op::Request as Arm};

use crate::generate::txn::deep;
use crate::player::{Played, Player, bytes, put_fields, range_fields};
use crate::request::Request;
use crate::script::scripts;

scripts! { duplicate_keys budgets compares headers_inside all_or_nothing checks_of_both_branches
nested_compares_come_first depth }

fn op(arm: Arm) -> pb::RequestOp {
    pb::RequestOp { request: Some(arm) }
}

fn put(key: &str) -> pb::RequestOp {
    op(Arm::RequestPut(put_fields(key, "v")))
}

fn get(key: &str) -> pb::RequestOp {
    op(Arm::RequestRange(range_fields(key, "")))
}

fn delete(key: &str, end: &str) -> pb::RequestOp {
    let delete = pb::DeleteRangeRequest {
        key: bytes(key),
        range_end: bytes(end),
        prev_kv: true,
    };
    op(Arm::RequestDeleteRange(delete))
}

fn both(success: Vec<pb::RequestOp>, failure: Vec<pb::RequestOp>) -> pb::RequestOp {
    op(Arm::RequestTxn(pb::TxnRequest {
        success,
        failure,
        ..Default::default()
    }))
}

fn then(success: Vec<pb::RequestOp>) -> pb::TxnRequest {
    pb::TxnRequest {
        success,
        ..pb::TxnRequest::default()
    }
}

async fn duplicate_keys(p: &mut Player) -> Played {
    let nested = |ops| both(ops, vec![]);
    // An end of `\0` means "everything from here" to a delete, yet this rule compares it as a key,
    // so that it conflicts with nothing.
    let cases: Vec<(bool, Vec<pb::RequestOp>)> = vec![
        (true, vec![put("a"), put("a")]),
        (true, vec![put("a"), delete("a", "")]),
        (true, vec![delete("a", "c"), put("b")]),
        (false, vec![put("b"), delete("a", "\0")]),
        (true, vec![put("a"), nested(vec![put("a")])]),
        (true, vec![nested(vec![put("a")]), nested(vec![put("a")])]),
        (true, vec![nested(vec![delete("a", "c")]), put("b")]),
        (
            true,
            vec![put("b"), nested(vec![nested(vec![delete("a", "c")])])],
        ),
        (
            true,
            vec![both(vec![put("a")], vec![]), both(vec![], vec![put("a")])],
        ),
        (false, vec![both(vec![put("a")], vec![put("a")])]),
        (false, vec![delete("a", "c"), delete("b", "d")]),
        (false, vec![delete("a", "b"), put("b")]),
        (false, vec![delete("c", "a"), put("b")]),
        (false, vec![put("a"), get("a"), get("a")]),
        (false, vec![get("a"), put("a"), get("a")]),
        (false, vec![put("a"), delete("b", "c"), put("c")]),
    ];
    for (refused, ops) in cases {
        for flip in [false, true] {
            let (success, failure) = if flip {
                (vec![], ops.clone())
            } else {
                (ops.clone(), vec![])
            };
            let outcome = p
                .txn(pb::TxnRequest {
                    success,
                    failure,
                    ..Default::default()
                })
                .await?;
            match refused {
                true => p.refused(&outcome, "duplicate key given in txn request")?,
                false => p.must(&outcome)?,
            }
        }
    }
    // The same key in the two branches of the outermost transaction is fine.
    let outcome = p
        .txn(pb::TxnRequest {
            success: vec![put("a")],
            failure: vec![put("a")],
            ..then(vec![])
        })
        .await?;
    p.must(&outcome)
}

async fn budgets(p: &mut Player) -> Played {
    let gets = |count: usize| -> Vec<pb::RequestOp> { (0..count).map(|_| get("a")).collect() };
    let wide = |count: usize| pb::TxnRequest {
        success: gets(count),
        failure: gets(count),
        compare: vec![
            pb::Compare {
                key: bytes("a"),
                ..Default::default()
            };
            count
        ],
    };
    let outcome = p.txn(wide(128)).await?;
    p.must(&outcome)?;
    let outcome = p.txn(wide(129)).await?;
    p.refused(&outcome, "too many operations in txn request")?;
    // A nested transaction may hold what its parent left over, each sibling the same rest.
    for (outer, inner) in [
        (127, 1),
        (126, 2),
        (126, 3),
        (100, 28),
        (100, 29),
        (0, 127),
        (0, 128),
    ] {
        let mut ops = gets(outer);
        ops.push(both(gets(inner), vec![]));
        p.txn(then(ops.clone())).await?;
        if outer > 0 {
            ops.remove(0);
            ops.push(both(gets(inner), gets(inner)));
            p.txn(then(ops)).await?;
        }
    }
    Ok(())
}

async fn compares(p: &mut Player) -> Played {
    p.grant(5, 600).await?;
    p.put("a", "1").await?;
    p.put("a", "2").await?;
    p.put("b", "2").await?;
    p.send(Request::Put(pb::PutRequest {
        lease: 5,
        ..put_fields("c", "3")
    }))
    .await?;
    let unions = [
        None,
        Some(compare::TargetUnion::Version(0)),
        Some(compare::TargetUnion::Version(2)),
        Some(compare::TargetUnion::CreateRevision(2)),
        Some(compare::TargetUnion::ModRevision(4)),
        Some(compare::TargetUnion::Value(bytes("2"))),
        Some(compare::TargetUnion::Value(bytes(""))),
        Some(compare::TargetUnion::Lease(5)),
    ];
    for (key, end) in [
        ("a", ""),
        ("missing", ""),
        ("a", "d"),
        ("x", "z"),
        ("a", "\0"),
        ("c", "a"),
    ] {
        for target in 0..5 {
            for result in 0..4 {
                // Eight operands in one transaction each: only whether all held is answered.
                for union in &unions {
                    let compare = pb::Compare {
                        key: bytes(key),
                        range_end: bytes(end),
                        target,
                        result,
                        target_union: union.clone(),
                    };
                    let txn = pb::TxnRequest {
                        compare: vec![compare],
                        ..Default::default()
                    };
                    p.txn(txn).await?;
                }
            }
        }
    }
    let empty = pb::TxnRequest {
        compare: vec![pb::Compare::default()],
        ..Default::default()
    };
    let outcome = p.txn(empty).await?;
    p.refused(&outcome, "key is not provided")
}

/// Which revision each inner header shows, before and after the first effective write.
async fn headers_inside(p: &mut Player) -> Played {
    p.put("a", "1").await?;
    p.txn(then(vec![
        get("a"),
        delete("none", ""),
        put("b"),
        get("a"),
        delete("none", ""),
    ]))
    .await?;
    p.txn(then(vec![get("a"), delete("none", ""), get("none")]))
        .await?;
    p.txn(then(vec![
        both(vec![get("a")], vec![]),
        delete("a", "c"),
        both(vec![], vec![]),
    ]))
    .await?;
    p.txn(then(vec![
        both(vec![both(vec![put("z")], vec![]), get("z")], vec![]),
        get("z"),
    ]))
    .await?;
    p.txn(then(vec![])).await?;
    Ok(())
}

/// An error found while applying leaves nothing behind.
async fn all_or_nothing(p: &mut Player) -> Played {
    p.put("a", "1").await?;
    let at = |revision| {
        op(Arm::RequestRange(pb::RangeRequest {
            revision,
            ..range_fields("a", "")
        }))
    };
    let leased = op(Arm::RequestPut(pb::PutRequest {
        lease: 99,
        ..put_fields("l", "1")
    }));
    let kept = op(Arm::RequestPut(pb::PutRequest {
        ignore_value: true,
        ..put_fields("none", "")
    }));
    // Of two reasons the lease is told.
    let leased_and_kept = op(Arm::RequestPut(pb::PutRequest {
        lease: 99,
        ignore_value: true,
        ..put_fields("none", "")
    }));
    for bad in [at(3), at(100), leased, kept, leased_and_kept] {
        p.txn(then(vec![put("x"), bad.clone()])).await?;
        p.txn(then(vec![
            put("x"),
            both(vec![put("y"), bad.clone()], vec![]),
        ]))
        .await?;
        // In the branch not taken it does no harm.
        p.txn(pb::TxnRequest {
            success: vec![get("x")],
            failure: vec![bad],
            ..then(vec![])
        })
        .await?;
    }
    p.get("x").await?;
    p.hash(0).await?;
    Ok(())
}

async fn checks_of_both_branches(p: &mut Player) -> Played {
    let unset = pb::RequestOp { request: None };
    let sorted = pb::RangeRequest {
        sort_order: 7,
        ..range_fields("a", "")
    };
    let valued = pb::PutRequest {
        ignore_value: true,
        ..put_fields("a", "1")
    };
    let leased = pb::PutRequest {
        ignore_lease: true,
        lease: 1,
        ..put_fields("a", "1")
    };
    let bad = [
        (unset, "key not found"),
        (get(""), "key is not provided"),
        (put(""), "key is not provided"),
        (delete("", ""), "key is not provided"),
        (op(Arm::RequestRange(sorted)), "invalid sort option"),
        (op(Arm::RequestPut(valued)), "value is provided"),
        (op(Arm::RequestPut(leased)), "lease is provided"),
    ];
    for (op, text) in bad {
        for failure in [false, true] {
            for nested in [false, true] {
                let op = if nested {
                    both(vec![], vec![op.clone()])
                } else {
                    op.clone()
                };
                let mut txn = then(vec![]);
                if failure {
                    txn.failure.push(op)
                } else {
                    txn.success.push(op)
                };
                let outcome = p.txn(txn).await?;
                p.refused(&outcome, text)?;
            }
        }
    }
    Ok(())
}

/// Compares of nested transactions see the state before the outermost one.
async fn nested_compares_come_first(p: &mut Player) -> Played {
    let missing = pb::Compare {
        key: bytes("k"),
        target: 1,
        target_union: Some(compare::TargetUnion::CreateRevision(0)),
        ..pb::Compare::default()
    };
    let inner = pb::TxnRequest {
        compare: vec![missing],
        success: vec![get("k")],
        failure: vec![delete("k", "")],
    };
    for _ in 0..2 {
        p.txn(then(vec![
            put("k"),
            put("other"),
            op(Arm::RequestTxn(inner.clone())),
        ]))
        .await?;
    }
    Ok(())
}

/// One operation at the bottom of many levels; the answer to the deepest is too deep for the
/// client's own decoder, so only that there is one is compared, and the key it wrote.
async fn depth(p: &mut Player) -> Played {
    for levels in [20, 40] {
        let outcome = p.txn(deep(put_fields("d", "shallow"), levels)).await?;
        p.must(&outcome)?;
    }
    let outcome = p.txn(deep(put_fields("d", "too deep"), 129)).await?;
    p.refused(&outcome, "too many operations in txn request")?;
    p.get("d").await?;
    Ok(())
}
