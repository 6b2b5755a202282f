use bytes::Bytes;
use mainstay_proto::etcdserverpb::{
    self as pb, request_op::Request as Asked, response_op::Response as Answered,
};
use mainstay_proto::mvccpb::KeyValue;

/// Puts records with equal sort values into key order. etcd sorts with an unstable algorithm, so
/// which of two equal records comes first is not promised; and where a limit cuts through equal
/// records, which of them are left is not either, so those keep nothing but their sort value.
pub fn settle_range(request: &pb::RangeRequest, response: &mut pb::RangeResponse) {
    if request.sort_target == pb::range_request::SortTarget::Key as i32 {
        return;
    }
    let target = request.sort_target;
    let (kvs, more) = (&mut response.kvs, response.more);
    let mut start = 0;
    while start < kvs.len() {
        let same = |kv: &KeyValue| value(kv, target) == value(&kvs[start], target);
        let length = kvs[start..].iter().take_while(|kv| same(kv)).count();
        let group = &mut kvs[start..start + length];
        group.sort_by(|a, b| a.key.cmp(&b.key));
        if more && start + length == kvs.len() {
            kvs[start..]
                .iter_mut()
                .for_each(|kv| *kv = only(kv, target));
            return;
        }
        start += length;
    }
}

/// The same inside a transaction, for the branch that was taken.
pub fn settle_txn(request: &pb::TxnRequest, response: &mut pb::TxnResponse) {
    let branch = if response.succeeded {
        &request.success
    } else {
        &request.failure
    };
    for (asked, answered) in branch.iter().zip(&mut response.responses) {
        match (&asked.request, &mut answered.response) {
            (Some(Asked::RequestRange(range)), Some(Answered::ResponseRange(answer))) => {
                settle_range(range, answer);
            }
            (Some(Asked::RequestTxn(txn)), Some(Answered::ResponseTxn(answer))) => {
                settle_txn(txn, answer);
            }
            _ => {}
        }
    }
}

/// What a record is sorted by.
fn value(kv: &KeyValue, target: i32) -> (i64, Bytes) {
    match pb::range_request::SortTarget::try_from(target) {
        Ok(pb::range_request::SortTarget::Version) => (kv.version, Bytes::new()),
        Ok(pb::range_request::SortTarget::Create) => (kv.create_revision, Bytes::new()),
        Ok(pb::range_request::SortTarget::Mod) => (kv.mod_revision, Bytes::new()),
        Ok(pb::range_request::SortTarget::Value) => (0, kv.value.clone()),
        _ => (0, kv.key.clone()),
    }
}

/// A record of which only the sort value is left.
fn only(kv: &KeyValue, target: i32) -> KeyValue {
    let mut left = KeyValue::default();
    match pb::range_request::SortTarget::try_from(target) {
        Ok(pb::range_request::SortTarget::Version) => left.version = kv.version,
        Ok(pb::range_request::SortTarget::Create) => left.create_revision = kv.create_revision,
        Ok(pb::range_request::SortTarget::Mod) => left.mod_revision = kv.mod_revision,
        _ => left.value = kv.value.clone(),
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(more: bool, records: &[(&'static str, i64)]) -> pb::RangeResponse {
        let record = |(key, version): &(&'static str, i64)| KeyValue {
            key: (*key).into(),
            version: *version,
            ..KeyValue::default()
        };
        let kvs = records.iter().map(record).collect();
        pb::RangeResponse {
            kvs,
            more,
            ..pb::RangeResponse::default()
        }
    }

    #[test]
    fn ties_are_put_in_key_order_and_nothing_else() {
        let by_version = pb::RangeRequest {
            sort_target: 1,
            sort_order: 2,
            ..Default::default()
        };
        let mut a = response(false, &[("c", 5), ("b", 2), ("a", 2), ("d", 1)]);
        let b = response(false, &[("c", 5), ("a", 2), ("b", 2), ("d", 1)]);
        settle_range(&by_version, &mut a);
        assert_eq!(a, b);
        let mut wrong = response(false, &[("b", 2), ("a", 2), ("c", 5), ("d", 1)]);
        settle_range(&by_version, &mut wrong);
        assert_ne!(wrong, b);
    }

    #[test]
    fn ties_at_the_cut_keep_only_what_they_are_sorted_by() {
        let by_version = pb::RangeRequest {
            sort_target: 1,
            sort_order: 2,
            ..Default::default()
        };
        let mut a = response(true, &[("c", 5), ("b", 2)]);
        let mut b = response(true, &[("c", 5), ("a", 2)]);
        settle_range(&by_version, &mut a);
        settle_range(&by_version, &mut b);
        assert_eq!(a, b);
        assert_eq!(a.kvs[0].key, "c");
    }
}
