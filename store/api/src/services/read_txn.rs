//! A txn that only reads: no consensus, but all of it at one revision, which apply sees to.

use mainstay_proto::etcdserverpb::{RangeRequest, TxnRequest, TxnResponse, request_op::Request};
use tonic::Status;

use super::list::is_short;
use crate::context::Context;
use crate::error::Error;
use crate::header;
use crate::metadata::Caller;

/// Answers it, linearizably unless every range asks to be served locally.
pub async fn answer(
    context: &Context,
    caller: &Caller,
    request: TxnRequest,
) -> Result<TxnResponse, Status> {
    if !is_serializable(&request) {
        context.read_barrier().await?;
    }
    let permit = context.permit(caller, |gate| gate.txn(&request)).await?;
    let mut response = if is_quick(&request) {
        mainstay_apply::read_txn(&context.store(), &request).map_err(Error::from)?
    } else {
        context
            .scan(move |store| Ok(mainstay_apply::read_txn(store, &request).map_err(Error::from)?))
            .await?
    };
    context.still(permit)?;
    response.header = header::complete(&context.node, response.header);
    Ok(response)
}

/// Served locally only if all its ranges are; an empty txn has none that is not.
fn is_serializable(request: &TxnRequest) -> bool {
    ranges(request).all(|range| range.serializable)
}

/// Whether nothing in it looks at more than a few keys.
fn is_quick(request: &TxnRequest) -> bool {
    ranges(request).all(is_short)
        && request
            .compare
            .iter()
            .all(|compare| compare.range_end.is_empty())
}

fn ranges(request: &TxnRequest) -> impl Iterator<Item = &RangeRequest> {
    let ops = request.success.iter().chain(&request.failure);
    ops.filter_map(|op| match &op.request {
        Some(Request::RequestRange(range)) => Some(range),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use mainstay_proto::etcdserverpb::{Compare, RequestOp};

    use super::*;

    fn txn(ranges: Vec<RangeRequest>) -> TxnRequest {
        let success = ranges
            .into_iter()
            .map(|range| RequestOp {
                request: Some(Request::RequestRange(range)),
            })
            .collect();
        TxnRequest {
            success,
            ..Default::default()
        }
    }

    #[test]
    fn one_linearizable_range_makes_it_linearizable() {
        let local = RangeRequest {
            key: "k".into(),
            serializable: true,
            ..Default::default()
        };
        let all = RangeRequest {
            serializable: false,
            ..local.clone()
        };
        assert!(is_serializable(&txn(vec![local.clone()])));
        assert!(!is_serializable(&txn(vec![local, all])));
        assert!(is_serializable(&txn(vec![])));
    }

    #[test]
    fn long_ranges_and_range_compares_go_to_the_pool() {
        let key = RangeRequest {
            key: "k".into(),
            ..Default::default()
        };
        let all = RangeRequest {
            range_end: vec![0].into(),
            ..key.clone()
        };
        assert!(is_quick(&txn(vec![key.clone()])));
        assert!(!is_quick(&txn(vec![key.clone(), all])));
        let compare = Compare {
            range_end: vec![0].into(),
            ..Default::default()
        };
        assert!(!is_quick(&TxnRequest {
            compare: vec![compare],
            ..txn(vec![key])
        }));
    }
}
