//! What the span of a request says of it: etcd's attributes, under its names.

use mainstay_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp,
    TxnRequest, WatchCreateRequest, request_op::Request,
};
use opentelemetry::KeyValue;

/// Bytes of a key that a span keeps. etcd keeps them all; but spans wait in a queue that is bounded
/// by their number alone, and a key may be as long as a request.
const KEY_BYTES: usize = 1024;

/// A key as text, as far as it is one.
fn text(key: &[u8]) -> String {
    let kept = key.get(..KEY_BYTES).unwrap_or(key);
    String::from_utf8_lossy(kept).into_owned()
}

/// A count of operations.
fn count<T>(list: &[T]) -> i64 {
    i64::try_from(list.len()).unwrap_or(i64::MAX)
}

pub fn put(request: &PutRequest) -> Vec<KeyValue> {
    vec![KeyValue::new("key", text(&request.key))]
}

pub fn range(request: &RangeRequest) -> Vec<KeyValue> {
    let mut attributes = range_stream(request);
    attributes.push(KeyValue::new("keys_only", request.keys_only));
    attributes
}

pub fn range_stream(request: &RangeRequest) -> Vec<KeyValue> {
    vec![
        KeyValue::new("range_begin", text(&request.key)),
        KeyValue::new("range_end", text(&request.range_end)),
        KeyValue::new("rev", request.revision),
        KeyValue::new("limit", request.limit),
        KeyValue::new("count_only", request.count_only),
    ]
}

pub fn delete_range(request: &DeleteRangeRequest) -> Vec<KeyValue> {
    vec![
        KeyValue::new("range_begin", text(&request.key)),
        KeyValue::new("range_end", text(&request.range_end)),
    ]
}

pub fn txn(request: &TxnRequest, read_only: bool) -> Vec<KeyValue> {
    let compared = request.compare.iter().map(|compare| &compare.key[..]);
    let operations = request.success.iter().filter_map(key_of);
    vec![
        KeyValue::new("compare_first_key", first(compared)),
        KeyValue::new("success_first_key", first(operations)),
        KeyValue::new("success_first_type", first_type(&request.success)),
        KeyValue::new("success_first_lease", first_lease(&request.success)),
        KeyValue::new("compare_len", count(&request.compare)),
        KeyValue::new("success_len", count(&request.success)),
        KeyValue::new("failure_len", count(&request.failure)),
        KeyValue::new("read_only", read_only),
    ]
}

pub fn compact(request: &CompactionRequest) -> Vec<KeyValue> {
    vec![
        KeyValue::new("is_physical", request.physical),
        KeyValue::new("rev", request.revision),
    ]
}

pub fn lease_grant(request: &LeaseGrantRequest) -> Vec<KeyValue> {
    vec![
        KeyValue::new("id", request.id),
        KeyValue::new("ttl", request.ttl),
    ]
}

/// Revoking and renewing.
pub fn lease(id: i64) -> Vec<KeyValue> {
    vec![KeyValue::new("id", id)]
}

pub fn watch(request: &WatchCreateRequest) -> Vec<KeyValue> {
    // etcd has by now written the first key there can be for none, and nothing for "from a key on".
    let key: &[u8] = match request.key.is_empty() {
        true => b"\0",
        false => &request.key,
    };
    let range_end: &[u8] = match &request.range_end[..] {
        b"\0" => b"",
        given => given,
    };
    vec![
        KeyValue::new("key", text(key)),
        KeyValue::new("range_end", text(range_end)),
        KeyValue::new("start_rev", request.start_revision),
        KeyValue::new("progress_notify", request.progress_notify),
        KeyValue::new("prev_kv", request.prev_kv),
        KeyValue::new("fragment", request.fragment),
    ]
}

/// The first key that is not empty.
fn first<'a>(mut keys: impl Iterator<Item = &'a [u8]>) -> String {
    keys.find(|key| !key.is_empty())
        .map(text)
        .unwrap_or_default()
}

fn key_of(operation: &RequestOp) -> Option<&[u8]> {
    match operation.request.as_ref()? {
        Request::RequestPut(put) => Some(&put.key),
        Request::RequestRange(range) => Some(&range.key),
        Request::RequestDeleteRange(delete) => Some(&delete.key),
        Request::RequestTxn(_) => None,
    }
}

fn first_type(operations: &[RequestOp]) -> &'static str {
    let mut kinds = operations.iter().filter_map(|op| op.request.as_ref());
    match kinds.next() {
        Some(Request::RequestPut(_)) => "put",
        Some(Request::RequestRange(_)) => "range",
        Some(Request::RequestDeleteRange(_)) => "delete_range",
        Some(Request::RequestTxn(_)) => "txn",
        None => "",
    }
}

/// The lease of the first put, -1 without one.
fn first_lease(operations: &[RequestOp]) -> i64 {
    let mut puts = operations.iter().filter_map(|op| match &op.request {
        Some(Request::RequestPut(put)) => Some(put.lease),
        _ => None,
    });
    puts.next().unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_text_of_bounded_length() {
        assert_eq!(text(b"/a\xff"), "/a\u{fffd}");
        assert_eq!(text(&[b'k'; 5000]).len(), KEY_BYTES);
    }

    #[test]
    fn a_txn_is_known_by_its_first_operations() {
        let put = Request::RequestPut(PutRequest {
            key: "a".into(),
            lease: 7,
            ..Default::default()
        });
        let range = Request::RequestRange(RangeRequest::default());
        let operation = |request| RequestOp {
            request: Some(request),
        };
        let request = TxnRequest {
            success: vec![operation(range), operation(put)],
            ..Default::default()
        };
        let attributes = txn(&request, false);
        let of = |key: &str| {
            let mut found = attributes.iter().filter(|pair| pair.key.as_str() == key);
            found.next().map(|pair| pair.value.to_string())
        };
        assert_eq!(of("success_first_key").as_deref(), Some("a"));
        assert_eq!(of("success_first_type").as_deref(), Some("range"));
        assert_eq!(of("success_first_lease").as_deref(), Some("7"));
        assert_eq!(of("compare_first_key").as_deref(), Some(""));
    }
}
