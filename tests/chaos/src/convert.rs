//! Between the records of the model and the messages on the wire.

use bytes::Bytes;
use mainstay_model::{Body, Compare, Event, EventKind, KeyValue, Relation, Request, Target};
use mainstay_proto::{etcdserverpb as pb, mvccpb};

/// Fills a value up to a size without writing it into the history: `v7+1000` goes out as `v7` and
/// a thousand dots, and comes back as `v7+1000`.
const PADDING: char = '.';

/// The bytes of a recorded value.
#[must_use]
pub fn expand(label: &str) -> Bytes {
    match label
        .split_once('+')
        .and_then(|(head, count)| Some((head, count.parse().ok()?)))
    {
        Some((head, count)) => {
            let padding = String::from(PADDING).repeat(count);
            Bytes::from(format!("{head}{padding}"))
        }
        None => Bytes::copy_from_slice(label.as_bytes()),
    }
}

/// How a value is recorded.
#[must_use]
pub fn shorten(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let head = text.trim_end_matches(PADDING);
    match text.len() - head.len() {
        0 => text.into_owned(),
        padding => format!("{head}+{padding}"),
    }
}

#[must_use]
pub fn key_value(kv: mvccpb::KeyValue) -> KeyValue {
    KeyValue {
        key: String::from_utf8_lossy(&kv.key).into_owned(),
        value: shorten(&kv.value),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
    }
}

#[must_use]
pub fn event(event: mvccpb::Event) -> Event {
    let deleted = event.r#type == mvccpb::event::EventType::Delete as i32;
    Event {
        kind: if deleted {
            EventKind::Delete
        } else {
            EventKind::Put
        },
        kv: key_value(event.kv.unwrap_or_default()),
        prev_kv: event.prev_kv.map(key_value),
    }
}

#[must_use]
pub fn range(
    key: &str,
    range_end: &str,
    revision: i64,
    limit: i64,
    stale: bool,
) -> pb::RangeRequest {
    pb::RangeRequest {
        key: text(key),
        range_end: text(range_end),
        revision,
        limit,
        serializable: stale,
        ..Default::default()
    }
}

#[must_use]
pub fn put(key: &str, value: &str, lease: i64, prev_kv: bool) -> pb::PutRequest {
    pb::PutRequest {
        key: text(key),
        value: expand(value),
        lease,
        prev_kv,
        ..Default::default()
    }
}

#[must_use]
pub fn delete(key: &str, range_end: &str, prev_kv: bool) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key: text(key),
        range_end: text(range_end),
        prev_kv,
    }
}

#[must_use]
pub fn txn(compare: &[Compare], success: &[Request], failure: &[Request]) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: compare.iter().map(comparison).collect(),
        success: success.iter().map(operation).collect(),
        failure: failure.iter().map(operation).collect(),
    }
}

fn operation(request: &Request) -> pb::RequestOp {
    use pb::request_op::Request as Op;
    let op = match request {
        Request::Range {
            key,
            range_end,
            revision,
            limit,
            serializable,
        } => Some(Op::RequestRange(range(
            key,
            range_end,
            *revision,
            *limit,
            *serializable,
        ))),
        Request::Put {
            key,
            value,
            lease,
            prev_kv,
        } => Some(Op::RequestPut(put(key, value, *lease, *prev_kv))),
        Request::DeleteRange {
            key,
            range_end,
            prev_kv,
        } => Some(Op::RequestDeleteRange(delete(key, range_end, *prev_kv))),
        Request::Txn {
            compare,
            success,
            failure,
        } => Some(Op::RequestTxn(txn(compare, success, failure))),
        // Nothing else may stand in a transaction; the server refuses an empty operation.
        _ => None,
    };
    pb::RequestOp { request: op }
}

fn comparison(compare: &Compare) -> pb::Compare {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    let result = match compare.relation {
        Relation::Equal => CompareResult::Equal,
        Relation::Greater => CompareResult::Greater,
        Relation::Less => CompareResult::Less,
        Relation::NotEqual => CompareResult::NotEqual,
    };
    let (target, union) = match &compare.target {
        Target::Version(number) => (CompareTarget::Version, TargetUnion::Version(*number)),
        Target::Create(number) => (CompareTarget::Create, TargetUnion::CreateRevision(*number)),
        Target::Mod(number) => (CompareTarget::Mod, TargetUnion::ModRevision(*number)),
        Target::Lease(number) => (CompareTarget::Lease, TargetUnion::Lease(*number)),
        Target::Value(value) => (CompareTarget::Value, TargetUnion::Value(expand(value))),
    };
    pb::Compare {
        result: result as i32,
        target: target as i32,
        key: text(&compare.key),
        range_end: Bytes::new(),
        target_union: Some(union),
    }
}

#[must_use]
pub fn range_body(response: pb::RangeResponse) -> Body {
    Body::Range {
        kvs: response.kvs.into_iter().map(key_value).collect(),
        more: response.more,
        count: response.count,
    }
}

#[must_use]
pub fn put_body(response: pb::PutResponse) -> Body {
    Body::Put {
        prev_kv: response.prev_kv.map(key_value),
    }
}

#[must_use]
pub fn delete_body(response: pb::DeleteRangeResponse) -> Body {
    Body::DeleteRange {
        deleted: response.deleted,
        prev_kvs: response.prev_kvs.into_iter().map(key_value).collect(),
    }
}

#[must_use]
pub fn txn_body(response: pb::TxnResponse) -> Body {
    use pb::response_op::Response as Op;
    // A response without its arm is dropped, so that the lengths differ and the checker sees it.
    let responses = response
        .responses
        .into_iter()
        .filter_map(|one| match one.response? {
            Op::ResponseRange(response) => Some(range_body(response)),
            Op::ResponsePut(response) => Some(put_body(response)),
            Op::ResponseDeleteRange(response) => Some(delete_body(response)),
            Op::ResponseTxn(response) => Some(txn_body(response)),
        });
    Body::Txn {
        succeeded: response.succeeded,
        responses: responses.collect(),
    }
}

#[must_use]
pub fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_survives_the_way_out_and_back() {
        let bytes = expand("v7+1000");
        assert_eq!(bytes.len(), 1002);
        assert_eq!(shorten(&bytes), "v7+1000");
        assert_eq!(shorten(&expand("plain")), "plain");
    }
}
