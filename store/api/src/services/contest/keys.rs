//! The keys of a contest and the requests about them: those that etcd's client library makes.

use std::sync::Arc;

use bytes::Bytes;
use mainstay_proto::etcdserverpb::{
    Compare, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest, TxnResponse,
    compare::{CompareResult, CompareTarget, TargetUnion},
    range_request::{SortOrder, SortTarget},
    request_op::Request,
    response_op::Response,
};
use mainstay_proto::mvccpb::KeyValue;
use tonic::Status;

use crate::context::Context;
use crate::metadata::Caller;
use crate::services::kv;

/// The keys of one contest: the name and a slash, so that no name is a prefix of another's.
pub fn prefix(name: &[u8]) -> Bytes {
    [name, b"/"].concat().into()
}

/// The end of the range of a prefix made by [`prefix`].
fn end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        // The last byte is a slash, so it can be counted up.
        *last = last.saturating_add(1);
    }
    end.into()
}

/// The key of a lease's owner: the number in hexadecimal, as Go prints it.
pub fn key(prefix: &[u8], lease: i64) -> Bytes {
    let sign = if lease < 0 { "-" } else { "" };
    let number = format!("{sign}{:x}", lease.unsigned_abs());
    [prefix, number.as_bytes()].concat().into()
}

/// Asks for the key under the prefix that was created first.
pub fn first(prefix: &Bytes) -> RangeRequest {
    RangeRequest {
        key: prefix.clone(),
        range_end: end(prefix),
        limit: 1,
        sort_order: SortOrder::Ascend as i32,
        sort_target: SortTarget::Create as i32,
        ..Default::default()
    }
}

/// Reads linearizably.
pub async fn read(
    context: &Arc<Context>,
    caller: &Caller,
    request: RangeRequest,
) -> Result<(Option<ResponseHeader>, Vec<KeyValue>), Status> {
    let request = TxnRequest {
        success: vec![op(Request::RequestRange(request))],
        ..Default::default()
    };
    let response = kv::txn(context.clone(), caller.clone(), request).await?;
    let header = response.header;
    Ok((header, lists(response).pop().unwrap_or_default()))
}

pub fn one(key: &Bytes) -> RangeRequest {
    RangeRequest {
        key: key.clone(),
        ..Default::default()
    }
}

pub fn put(key: &Bytes, value: Bytes, lease: i64) -> RequestOp {
    op(Request::RequestPut(PutRequest {
        key: key.clone(),
        value,
        lease,
        ..Default::default()
    }))
}

pub fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

/// Holds if the key was created at the revision; at 0, if it does not exist.
pub fn created(key: &Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key: key.clone(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        ..Default::default()
    }
}

/// The keys each operation has read; none for a write.
pub fn lists(response: TxnResponse) -> Vec<Vec<KeyValue>> {
    let lists = response
        .responses
        .into_iter()
        .map(|answer| match answer.response {
            Some(Response::ResponseRange(range)) => range.kvs,
            _ => Vec::new(),
        });
    lists.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_etcds_clients() {
        assert_eq!(&key(&prefix(b"l"), 0x3513_a214)[..], b"l/3513a214");
        assert_eq!(&key(&prefix(b""), -1)[..], b"/-1");
        assert_eq!(&end(&prefix(b"l"))[..], b"l0");
        assert_eq!(&key(&prefix(b"l"), i64::MIN)[..], b"l/-8000000000000000");
    }

    #[test]
    fn a_read_finds_its_list_behind_those_of_writes() {
        let kv = KeyValue {
            key: "k".into(),
            ..Default::default()
        };
        let range = mainstay_proto::etcdserverpb::RangeResponse {
            kvs: vec![kv.clone()],
            ..Default::default()
        };
        let response = TxnResponse {
            responses: vec![
                mainstay_proto::etcdserverpb::ResponseOp { response: None },
                mainstay_proto::etcdserverpb::ResponseOp {
                    response: Some(Response::ResponseRange(range)),
                },
            ],
            ..Default::default()
        };
        assert_eq!(lists(response), [vec![], vec![kv]]);
    }
}
