//! Rules of a Txn request: how many operations, and each of them in both branches.

use mainstay_proto::etcdserverpb::{RequestOp, TxnRequest, request_op::Request};

use super::{delete_range, overlap, put, range};
use crate::error::Error;

/// Counts and checks every operation of both branches, nested ones included, then looks for keys
/// that are written twice. `ops_max` is `--max-txn-ops`.
pub fn txn(request: &TxnRequest, ops_max: usize) -> Result<(), Error> {
    shape(request, ops_max)?;
    overlap::branch(&request.success)?;
    overlap::branch(&request.failure)?;
    Ok(())
}

/// The longest of the three lists is counted against the budget; what it leaves over is the budget
/// of each nested txn, so the depth of nesting is bounded by the same number.
fn shape(request: &TxnRequest, budget: usize) -> Result<(), Error> {
    let longest = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    let Some(rest) = budget.checked_sub(longest) else {
        return Err(Error::TooManyOps);
    };
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Error::EmptyKey);
    }
    request
        .success
        .iter()
        .chain(&request.failure)
        .try_for_each(|op| operation(op, rest))
}

fn operation(op: &RequestOp, budget: usize) -> Result<(), Error> {
    match &op.request {
        Some(Request::RequestRange(request)) => range(request),
        Some(Request::RequestPut(request)) => put(request),
        Some(Request::RequestDeleteRange(request)) => delete_range(request),
        Some(Request::RequestTxn(request)) => shape(request, budget),
        None => Err(Error::KeyNotFound),
    }
}

#[cfg(test)]
mod tests {
    use mainstay_proto::etcdserverpb::{Compare, PutRequest, RangeRequest};

    use super::*;

    fn get(key: &'static str) -> RequestOp {
        let request = RangeRequest {
            key: key.into(),
            ..Default::default()
        };
        RequestOp {
            request: Some(Request::RequestRange(request)),
        }
    }

    fn write(key: String) -> RequestOp {
        let request = PutRequest {
            key: key.into(),
            ..Default::default()
        };
        RequestOp {
            request: Some(Request::RequestPut(request)),
        }
    }

    fn nest(inner: TxnRequest) -> RequestOp {
        RequestOp {
            request: Some(Request::RequestTxn(inner)),
        }
    }

    fn success(ops: Vec<RequestOp>) -> TxnRequest {
        TxnRequest {
            success: ops,
            ..Default::default()
        }
    }

    #[test]
    fn the_longest_list_counts() {
        let full: Vec<_> = (0..128).map(|n| write(format!("k{n}"))).collect();
        let both = TxnRequest {
            success: full.clone(),
            failure: full.clone(),
            ..success(vec![])
        };
        assert_eq!(txn(&both, 128), Ok(()));
        let mut more = both;
        more.failure.push(get("k"));
        assert_eq!(txn(&more, 128), Err(Error::TooManyOps));
    }

    #[test]
    fn nested_budgets_are_what_is_left() {
        let mut chain = success(vec![]);
        for _ in 0..128 {
            chain = success(vec![nest(chain)]);
        }
        assert_eq!(txn(&chain, 128), Ok(()));
        let mut deeper = success(vec![get("k")]);
        for _ in 0..128 {
            deeper = success(vec![nest(deeper)]);
        }
        assert_eq!(txn(&deeper, 128), Err(Error::TooManyOps));
        let wide = |n| success((0..n).map(|_| get("k")).collect());
        let siblings = success(vec![nest(wide(126)), nest(wide(126))]);
        assert_eq!(txn(&siblings, 128), Ok(()));
        assert_eq!(
            txn(&success(vec![nest(wide(128))]), 128),
            Err(Error::TooManyOps)
        );
    }

    #[test]
    fn both_branches_are_checked() {
        let empty_op = TxnRequest {
            failure: vec![RequestOp::default()],
            ..success(vec![])
        };
        assert_eq!(txn(&empty_op, 128), Err(Error::KeyNotFound));
        let compare = TxnRequest {
            compare: vec![Compare::default()],
            ..success(vec![])
        };
        assert_eq!(txn(&compare, 128), Err(Error::EmptyKey));
        let inner = TxnRequest {
            failure: vec![get("")],
            ..success(vec![])
        };
        assert_eq!(txn(&success(vec![nest(inner)]), 128), Err(Error::EmptyKey));
        assert_eq!(txn(&success(vec![]), 128), Ok(()));
    }
}
