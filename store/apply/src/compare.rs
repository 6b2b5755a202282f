//! The compares of a txn.

use std::cmp::Ordering;

use bytes::{BufMut, Bytes, BytesMut};
use mainstay_mvcc::{Batch, RangeResult};
use mainstay_proto::{
    etcdserverpb::{
        Compare, RangeRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
    },
    mvccpb::KeyValue,
};

use crate::error::Failure;

/// Records read at a time by a compare over a range.
const CHUNK: i64 = 1000;

/// What a compare reads from: the batch while applying, one revision of the store otherwise.
pub(crate) trait Reader {
    /// The record of a key; its value may be left out unless wanted.
    fn record(&self, key: &[u8], want_value: bool) -> Result<Option<KeyValue>, Failure>;
    fn range(&self, request: &RangeRequest) -> Result<RangeResult, Failure>;
}

impl Reader for Batch<'_> {
    fn record(&self, key: &[u8], want_value: bool) -> Result<Option<KeyValue>, Failure> {
        if want_value {
            return Ok(self.get(key)?);
        }
        // The index knows everything but the value, so this reads no disk.
        Ok(self.key_meta(key).map(|meta| KeyValue {
            create_revision: meta.create_revision,
            mod_revision: meta.mod_revision,
            version: meta.version,
            lease: meta.lease,
            ..KeyValue::default()
        }))
    }

    fn range(&self, request: &RangeRequest) -> Result<RangeResult, Failure> {
        Ok(Batch::range(self, request)?)
    }
}

/// Whether the compare holds: for its key, or for every key of its range. A range without keys
/// counts as one missing key. For a missing key a compare of the value never holds, and the other
/// targets are compared with zero (etcd's rules).
pub(crate) fn holds(reader: &impl Reader, compare: &Compare) -> Result<bool, Failure> {
    if compare.range_end.is_empty() {
        let record = reader.record(&compare.key, wants_value(compare))?;
        return Ok(one(compare, record.as_ref()));
    }
    let mut from = compare.key.clone();
    let mut seen = false;
    loop {
        let kvs = reader.range(&chunk(compare, from))?.kvs;
        if !kvs.iter().all(|kv| one(compare, Some(kv))) {
            return Ok(false);
        }
        seen = seen || !kvs.is_empty();
        match kvs.last() {
            Some(last) if kvs.len() as i64 >= CHUNK => from = after(&last.key),
            _ => return Ok(seen || one(compare, None)),
        }
    }
}

fn chunk(compare: &Compare, from: Bytes) -> RangeRequest {
    // Without values a range tells no lease either.
    let keys_only = !wants_value(compare) && compare.target != CompareTarget::Lease as i32;
    let range_end = compare.range_end.clone();
    RangeRequest {
        key: from,
        range_end,
        limit: CHUNK,
        keys_only,
        ..RangeRequest::default()
    }
}

/// The first key there can be behind `key`.
fn after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

fn wants_value(compare: &Compare) -> bool {
    compare.target == CompareTarget::Value as i32
}

fn one(compare: &Compare, record: Option<&KeyValue>) -> bool {
    if record.is_none() && wants_value(compare) {
        return false;
    }
    let absent = KeyValue::default();
    let order = order(compare, record.unwrap_or(&absent));
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => order.is_eq(),
        Ok(CompareResult::NotEqual) => order.is_ne(),
        Ok(CompareResult::Greater) => order.is_gt(),
        Ok(CompareResult::Less) => order.is_lt(),
        // etcd lets an unknown result pass; a request that worked there works here.
        Err(_) => true,
    }
}

/// How the record stands to the operand. An operand of another target counts as zero or empty,
/// and an unknown target as equal.
fn order(compare: &Compare, kv: &KeyValue) -> Ordering {
    let union = compare.target_union.as_ref();
    match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Value) => match union {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value.as_ref().cmp(b""),
        },
        Ok(CompareTarget::Version) => match union {
            Some(TargetUnion::Version(version)) => kv.version.cmp(version),
            _ => kv.version.cmp(&0),
        },
        Ok(CompareTarget::Create) => match union {
            Some(TargetUnion::CreateRevision(revision)) => kv.create_revision.cmp(revision),
            _ => kv.create_revision.cmp(&0),
        },
        Ok(CompareTarget::Mod) => match union {
            Some(TargetUnion::ModRevision(revision)) => kv.mod_revision.cmp(revision),
            _ => kv.mod_revision.cmp(&0),
        },
        Ok(CompareTarget::Lease) => match union {
            Some(TargetUnion::Lease(lease)) => kv.lease.cmp(lease),
            _ => kv.lease.cmp(&0),
        },
        Err(_) => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(target: CompareTarget, result: i32, union: Option<TargetUnion>) -> Compare {
        let target = target as i32;
        Compare {
            result,
            target,
            target_union: union,
            ..Compare::default()
        }
    }

    #[test]
    fn a_missing_key_has_no_value_and_zero_elsewhere() {
        let equal = CompareResult::Equal as i32;
        let not_equal = CompareResult::NotEqual as i32;
        let empty = Some(TargetUnion::Value(Bytes::new()));
        assert!(!one(
            &compare(CompareTarget::Value, equal, empty.clone()),
            None
        ));
        assert!(!one(&compare(CompareTarget::Value, not_equal, empty), None));
        let zero = Some(TargetUnion::Version(0));
        assert!(one(&compare(CompareTarget::Version, equal, zero), None));
        let one_ = Some(TargetUnion::CreateRevision(1));
        assert!(one(
            &compare(CompareTarget::Create, CompareResult::Less as i32, one_),
            None
        ));
        assert!(one(&compare(CompareTarget::Lease, equal, None), None));
    }

    #[test]
    fn a_wrong_operand_is_zero_and_an_unknown_result_holds() {
        let kv = KeyValue {
            version: 3,
            mod_revision: 7,
            ..KeyValue::default()
        };
        let wrong = Some(TargetUnion::Version(7));
        let greater = CompareResult::Greater as i32;
        assert!(one(&compare(CompareTarget::Mod, greater, wrong), Some(&kv)));
        assert!(one(&compare(CompareTarget::Version, 77, None), Some(&kv)));
        let mut unknown = compare(CompareTarget::Version, 0, None);
        unknown.target = 99;
        assert!(one(&unknown, Some(&kv)));
    }
}
