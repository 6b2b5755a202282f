use mainstay_proto::etcdserverpb::{self as pb, compare, request_op::Request as Arm};
use rand::Rng;

use super::{Generator, keys, kv};
use crate::request::Request;
use crate::world::World;

/// Deepest nesting of random transactions; deeper ones are made on purpose.
const DEPTH: usize = 3;
/// Levels that Mainstay takes; see `deviations`.
const DEEPEST: usize = 40;
/// etcd's `--max-txn-ops` default.
const MAX_OPS: usize = 128;

pub fn request(of: &mut Generator, world: &World) -> Request {
    let txn = match of.rng.random_range(0..50) {
        0 => too_many(of),
        1 => nested(of, 20),
        2 => nested(of, DEEPEST),
        _ => random(of, world, 0),
    };
    let mut txn = txn;
    // See `deviations`: such a put may find its key deleted.
    if deletes(&txn) {
        keep_nothing(&mut txn);
    }
    Request::Txn(txn)
}

fn deletes(txn: &pb::TxnRequest) -> bool {
    let ops = txn.success.iter().chain(&txn.failure);
    ops.filter_map(|op| op.request.as_ref()).any(|op| match op {
        Arm::RequestDeleteRange(_) => true,
        Arm::RequestTxn(inner) => deletes(inner),
        _ => false,
    })
}

/// Takes `ignore_value` and `ignore_lease` from every put.
fn keep_nothing(txn: &mut pb::TxnRequest) {
    let ops = txn.success.iter_mut().chain(&mut txn.failure);
    for op in ops.filter_map(|op| op.request.as_mut()) {
        match op {
            Arm::RequestPut(put) => (put.ignore_value, put.ignore_lease) = (false, false),
            Arm::RequestTxn(inner) => keep_nothing(inner),
            _ => {}
        }
    }
}

fn random(of: &mut Generator, world: &World, depth: usize) -> pb::TxnRequest {
    let widest = if depth == 0 { 5 } else { 3 };
    let list = |of: &mut Generator| -> Vec<pb::RequestOp> {
        let count = of.rng.random_range(0..widest);
        (0..count).map(|_| op(of, world, depth)).collect()
    };
    let (success, failure) = (list(of), list(of));
    let count = of.rng.random_range(0..3);
    let compare = (0..count).map(|_| compare(of, world)).collect();
    pb::TxnRequest {
        compare,
        success,
        failure,
    }
}

fn op(of: &mut Generator, world: &World, depth: usize) -> pb::RequestOp {
    let arm = match of.rng.random_range(0..100) {
        0 => None,
        1..35 => {
            let mut range = kv::range_fields(of, world);
            kv::avoid_unsorted_limit(&mut range);
            // A bad revision fails everything, so most ranges read the present.
            if of.rng.random_bool(0.7) {
                range.revision = 0;
            }
            Some(Arm::RequestRange(range))
        }
        35..70 => {
            let mut put = kv::put_fields(of, world);
            if of.rng.random_bool(0.7) {
                put.ignore_value = false;
                put.ignore_lease = false;
            }
            Some(Arm::RequestPut(put))
        }
        70..82 => Some(Arm::RequestDeleteRange(kv::delete_fields(of))),
        _ if depth < DEPTH => Some(Arm::RequestTxn(random(of, world, depth + 1))),
        _ => Some(Arm::RequestRange(pb::RangeRequest {
            key: keys::key(of),
            ..pb::RangeRequest::default()
        })),
    };
    pb::RequestOp { request: arm }
}

fn compare(of: &mut Generator, world: &World) -> pb::Compare {
    let key = keys::any_key(of);
    let target = of.rng.random_range(0..5);
    // Now and then the operand belongs to another target, or is missing.
    let operand = if of.rng.random_ratio(1, 8) {
        of.rng.random_range(0..6)
    } else {
        target
    };
    let near = |of: &mut Generator| of.rng.random_range(0..world.revision + 2);
    let union = match operand {
        0 => Some(compare::TargetUnion::Version(of.rng.random_range(-1..4))),
        1 => Some(compare::TargetUnion::CreateRevision(near(of))),
        2 => Some(compare::TargetUnion::ModRevision(near(of))),
        3 => Some(compare::TargetUnion::Value(keys::value(of))),
        4 => {
            let lease = if of.rng.random_bool(0.5) {
                0
            } else {
                super::lease::any(of, world)
            };
            Some(compare::TargetUnion::Lease(lease))
        }
        _ => None,
    };
    let mut result = of.rng.random_range(0..4);
    // Ids that a server chose have no order that two servers share.
    if of.random_leases && target == 4 {
        result = [0, 3][of.rng.random_range(0..2)];
    }
    let range_end = if of.rng.random_ratio(1, 4) {
        keys::end(of, &key)
    } else {
        bytes::Bytes::new()
    };
    pb::Compare {
        result,
        target,
        range_end,
        key,
        target_union: union,
    }
}

fn read(of: &mut Generator) -> pb::RequestOp {
    let range = pb::RangeRequest {
        key: keys::key(of),
        ..pb::RangeRequest::default()
    };
    pb::RequestOp {
        request: Some(Arm::RequestRange(range)),
    }
}

/// 128 or 129 entries in one of the three lists.
fn too_many(of: &mut Generator) -> pb::TxnRequest {
    let count = MAX_OPS + of.rng.random_range(0..2);
    let mut txn = pb::TxnRequest::default();
    let ops: Vec<pb::RequestOp> = (0..count).map(|_| read(of)).collect();
    match of.rng.random_range(0..3) {
        0 => txn.success = ops,
        1 => txn.failure = ops,
        _ => {
            let always = pb::Compare {
                key: "missing".into(),
                ..pb::Compare::default()
            };
            txn.compare = vec![always; count];
        }
    }
    txn
}

/// One operation, `levels` transactions deep.
fn nested(of: &mut Generator, levels: usize) -> pb::TxnRequest {
    let (key, value) = (keys::key(of), keys::value(of));
    deep(
        pb::PutRequest {
            key,
            value,
            ..pb::PutRequest::default()
        },
        levels,
    )
}

/// `put` inside `levels` transactions.
pub fn deep(put: pb::PutRequest, levels: usize) -> pb::TxnRequest {
    let mut inner = pb::RequestOp {
        request: Some(Arm::RequestPut(put)),
    };
    for _ in 1..levels {
        let txn = pb::TxnRequest {
            success: vec![inner],
            ..pb::TxnRequest::default()
        };
        inner = pb::RequestOp {
            request: Some(Arm::RequestTxn(txn)),
        };
    }
    pb::TxnRequest {
        success: vec![inner],
        ..pb::TxnRequest::default()
    }
}
