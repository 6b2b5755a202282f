//! Random commands in random batches against a plain model of etcd's rules.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mainstay_apply::{ApplyError, Outcome, Reply};
use mainstay_proto::{
    entry::{LeaseRevoke, command::Body},
    etcdserverpb::{
        Compare, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantResponse, PutRequest,
        PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp,
        TxnRequest, TxnResponse,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
        response_op::Response,
    },
    mvccpb::KeyValue,
};
use proptest::prelude::*;

use crate::support::{World, compare, delete, grant, put_request, range, txn};

#[derive(Clone)]
struct Model {
    kvs: BTreeMap<Bytes, KeyValue>,
    leases: BTreeSet<i64>,
    revision: i64,
}

/// The writes of one command on a copy of the model.
struct Writing<'a> {
    before: &'a Model,
    after: Model,
    wrote: bool,
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

fn inside(key: &[u8], from: &[u8], end: &[u8]) -> bool {
    if end.is_empty() {
        key == from
    } else {
        key >= from && (end == b"\0" || key < end)
    }
}

impl Model {
    fn apply(&mut self, body: &Body) -> Reply {
        let before = self.clone();
        let mut writing = Writing {
            before: &before,
            after: self.clone(),
            wrote: false,
        };
        let outcome = match body {
            Body::Put(request) => {
                writing.check_put(request)?;
                Outcome::Put(writing.put(request)?)
            }
            Body::DeleteRange(request) => Outcome::DeleteRange(writing.delete(request)),
            Body::Txn(request) => {
                let path = before.path(request);
                writing.check(request, &path)?;
                let mut response = writing.txn(request, &path)?;
                response.header = header(writing.revision());
                Outcome::Txn(response)
            }
            Body::LeaseGrant(request) => {
                if !writing.after.leases.insert(request.id) {
                    return Err(ApplyError::LeaseExists);
                }
                let (id, ttl) = (request.id, request.ttl.max(1));
                let header = header(before.revision);
                Outcome::LeaseGrant(LeaseGrantResponse {
                    header,
                    id,
                    ttl,
                    error: String::new(),
                })
            }
            Body::LeaseRevoke(LeaseRevoke { id, .. }) => {
                if !writing.after.leases.remove(id) {
                    return Err(ApplyError::LeaseNotFound);
                }
                let len = writing.after.kvs.len();
                writing.after.kvs.retain(|_, kv| kv.lease != *id);
                writing.wrote = writing.after.kvs.len() < len;
                Outcome::LeaseRevoke {
                    revision: writing.revision(),
                }
            }
            other => panic!("{other:?} is not generated"),
        };
        let revision = writing.revision();
        *self = writing.after;
        self.revision = revision;
        Ok(outcome)
    }

    fn range(&self, request: &RangeRequest) -> RangeResponse {
        let hit = |kv: &&KeyValue| inside(&kv.key, &request.key, &request.range_end);
        let kvs: Vec<_> = self.kvs.values().filter(hit).cloned().collect();
        RangeResponse {
            header: None,
            count: kvs.len() as i64,
            more: false,
            kvs,
        }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let request = RangeRequest {
            key: compare.key.clone(),
            range_end: compare.range_end.clone(),
            ..RangeRequest::default()
        };
        let kvs = self.range(&request).kvs;
        let is_value = compare.target == CompareTarget::Value as i32;
        let one = |kv: &KeyValue| {
            let order = match compare.target_union.as_ref().expect("always generated") {
                TargetUnion::Version(version) => kv.version.cmp(version),
                TargetUnion::CreateRevision(revision) => kv.create_revision.cmp(revision),
                TargetUnion::ModRevision(revision) => kv.mod_revision.cmp(revision),
                TargetUnion::Value(value) => kv.value.cmp(value),
                TargetUnion::Lease(lease) => kv.lease.cmp(lease),
            };
            match compare.result {
                0 => order.is_eq(),
                1 => order.is_gt(),
                2 => order.is_lt(),
                _ => order.is_ne(),
            }
        };
        match kvs.is_empty() {
            true => !is_value && one(&KeyValue::default()),
            false => kvs.iter().all(one),
        }
    }

    /// Branches taken, depth first.
    fn path(&self, request: &TxnRequest) -> Vec<bool> {
        let taken = request.compare.iter().all(|compare| self.holds(compare));
        let mut path = vec![taken];
        for op in if taken {
            &request.success
        } else {
            &request.failure
        } {
            if let Some(Request::RequestTxn(inner)) = &op.request {
                path.extend(self.path(inner));
            }
        }
        path
    }
}

impl Writing<'_> {
    fn revision(&self) -> i64 {
        self.before.revision + i64::from(self.wrote)
    }

    fn check(&self, request: &TxnRequest, path: &[bool]) -> Result<(), ApplyError> {
        self.check_list(request, &mut path.iter().copied())
    }

    fn check_list(
        &self,
        request: &TxnRequest,
        path: &mut dyn Iterator<Item = bool>,
    ) -> Result<(), ApplyError> {
        for op in branch(request, path) {
            match op.request.as_ref().expect("always generated") {
                Request::RequestRange(range) if range.revision > self.before.revision => {
                    return Err(ApplyError::FutureRevision);
                }
                Request::RequestPut(put) => {
                    self.check_put(put)?;
                    let keeps = put.ignore_value || put.ignore_lease;
                    if keeps && !self.before.kvs.contains_key(&put.key) {
                        return Err(ApplyError::KeyNotFound);
                    }
                }
                Request::RequestTxn(inner) => self.check_list(inner, path)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn check_put(&self, put: &PutRequest) -> Result<(), ApplyError> {
        match put.lease != 0 && !self.before.leases.contains(&put.lease) {
            true => Err(ApplyError::LeaseNotFound),
            false => Ok(()),
        }
    }

    fn put(&mut self, put: &PutRequest) -> Result<PutResponse, ApplyError> {
        let prev = self.after.kvs.get(&put.key).cloned();
        let main = self.before.revision + 1;
        let kept = |keep: bool| match keep {
            true => prev.as_ref().map(Some).ok_or(ApplyError::KeyNotFound),
            false => Ok(None),
        };
        let value = kept(put.ignore_value)?.map_or(put.value.clone(), |kv| kv.value.clone());
        let lease = kept(put.ignore_lease)?.map_or(put.lease, |kv| kv.lease);
        let kv = KeyValue {
            key: put.key.clone(),
            create_revision: prev.as_ref().map_or(main, |kv| kv.create_revision),
            mod_revision: main,
            version: prev.as_ref().map_or(1, |kv| kv.version + 1),
            value,
            lease,
        };
        self.after.kvs.insert(put.key.clone(), kv);
        self.wrote = true;
        let prev_kv = prev.filter(|_| put.prev_kv);
        Ok(PutResponse {
            header: header(self.revision()),
            prev_kv,
        })
    }

    fn delete(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let (from, end) = (&request.key, &request.range_end);
        let hit = |kv: &&KeyValue| inside(&kv.key, from, end);
        let gone: Vec<_> = self.after.kvs.values().filter(hit).cloned().collect();
        self.after.kvs.retain(|key, _| !inside(key, from, end));
        self.wrote |= !gone.is_empty();
        let deleted = gone.len() as i64;
        let prev_kvs = if request.prev_kv { gone } else { Vec::new() };
        DeleteRangeResponse {
            header: header(self.revision()),
            deleted,
            prev_kvs,
        }
    }

    fn txn(&mut self, request: &TxnRequest, path: &[bool]) -> Result<TxnResponse, ApplyError> {
        self.txn_list(request, &mut path.iter().copied())
    }

    fn txn_list(
        &mut self,
        request: &TxnRequest,
        path: &mut dyn Iterator<Item = bool>,
    ) -> Result<TxnResponse, ApplyError> {
        let list = branch(request, path);
        let succeeded = std::ptr::eq(list, &request.success);
        let mut responses = Vec::new();
        for op in list {
            let response = match op.request.as_ref().expect("always generated") {
                Request::RequestRange(range) => {
                    let at = if range.revision > 0 {
                        self.before
                    } else {
                        &self.after
                    };
                    let mut response = at.range(range);
                    response.header = header(self.revision());
                    Response::ResponseRange(response)
                }
                Request::RequestPut(put) => Response::ResponsePut(self.put(put)?),
                Request::RequestDeleteRange(delete) => {
                    Response::ResponseDeleteRange(self.delete(delete))
                }
                Request::RequestTxn(inner) => Response::ResponseTxn(self.txn_list(inner, path)?),
            };
            responses.push(ResponseOp {
                response: Some(response),
            });
        }
        let header = Some(ResponseHeader::default());
        Ok(TxnResponse {
            header,
            succeeded,
            responses,
        })
    }
}

fn branch<'a>(request: &'a TxnRequest, path: &mut dyn Iterator<Item = bool>) -> &'a Vec<RequestOp> {
    match path.next().expect("as many as nested txns") {
        true => &request.success,
        false => &request.failure,
    }
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c", "d"])
}

fn end() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "c", "z", "\0"])
}

fn a_put() -> impl Strategy<Value = PutRequest> {
    let lease = prop::sample::select(vec![0, 0, 0, 1, 2, 3]);
    (key(), 0u8..3, lease, any::<[bool; 3]>()).prop_map(|(key, value, lease, flags)| {
        let [prev_kv, ignore_value, ignore_lease] = flags;
        // The API refuses a value or a lease together with the wish to keep the old one.
        let lease = if ignore_lease { 0 } else { lease };
        let put = put_request(
            key,
            &if ignore_value {
                String::new()
            } else {
                value.to_string()
            },
        );
        PutRequest {
            lease,
            prev_kv,
            ignore_value,
            ignore_lease,
            ..put
        }
    })
}

fn a_delete() -> impl Strategy<Value = DeleteRangeRequest> {
    (key(), end(), any::<bool>()).prop_map(|(key, end, prev_kv)| DeleteRangeRequest {
        prev_kv,
        ..delete(key, end)
    })
}

fn a_compare() -> impl Strategy<Value = Compare> {
    let union = prop_oneof![
        (0i64..4).prop_map(|n| (CompareTarget::Version, TargetUnion::Version(n))),
        (0i64..9).prop_map(|n| (CompareTarget::Create, TargetUnion::CreateRevision(n))),
        (0i64..9).prop_map(|n| (CompareTarget::Mod, TargetUnion::ModRevision(n))),
        (0i64..4).prop_map(|n| (CompareTarget::Lease, TargetUnion::Lease(n))),
        (0u8..3).prop_map(|n| {
            (
                CompareTarget::Value,
                TargetUnion::Value(n.to_string().into()),
            )
        }),
    ];
    (key(), end(), union, 0i32..4).prop_map(|(key, end, (target, union), result)| {
        let mut compare = compare(key, target, CompareResult::Equal, union);
        compare.result = result;
        compare.range_end = end.into();
        compare
    })
}

/// A list in which no key is put twice or put and deleted, as the API's check leaves it.
fn a_list(depth: u32) -> BoxedStrategy<Vec<Request>> {
    let reads = (key(), end(), 0i64..3).prop_map(|(key, end, ahead)| (range(key, end), ahead));
    let writes = prop_oneof![
        prop::collection::btree_map(key(), a_put(), 0..3).prop_map(|puts| {
            let put = |(key, put): (&str, PutRequest)| {
                Request::RequestPut(PutRequest {
                    key: Bytes::copy_from_slice(key.as_bytes()),
                    ..put
                })
            };
            puts.into_iter().map(put).collect::<Vec<_>>()
        }),
        prop::collection::vec(a_delete().prop_map(Request::RequestDeleteRange), 0..3),
    ];
    let flat = (writes, prop::collection::vec(reads, 0..3)).prop_map(|(mut list, reads)| {
        for (at, (range, ahead)) in reads.into_iter().enumerate() {
            // Filled in when it is known which revision the store is at: 0 latest, 1 now, 2 ahead.
            let range = RangeRequest {
                revision: ahead,
                ..range
            };
            list.insert((at * 2).min(list.len()), Request::RequestRange(range));
        }
        list
    });
    if depth == 0 {
        return flat.boxed();
    }
    let nested = (
        prop::collection::vec(a_compare(), 0..2),
        a_list(depth - 1),
        a_list(depth - 1),
    )
        .prop_map(|(compare, success, failure)| {
            vec![Request::RequestTxn(txn(compare, success, failure))]
        });
    prop_oneof![3 => flat, 1 => nested].boxed()
}

fn a_command() -> impl Strategy<Value = Body> {
    prop_oneof![
        4 => a_put().prop_map(Body::Put),
        2 => a_delete().prop_map(Body::DeleteRange),
        6 => (prop::collection::vec(a_compare(), 0..3), a_list(2), a_list(2))
            .prop_map(|(compare, success, failure)| Body::Txn(txn(compare, success, failure))),
        1 => (1i64..4).prop_map(|id| grant(id, 60)),
        1 => (1i64..4).prop_map(|id| Body::LeaseRevoke(LeaseRevoke { id, expired_in_term: 0 })),
    ]
}

/// Turns the placeholders of ranges into revisions.
fn fill(list: &mut [RequestOp], current: i64) {
    for op in list {
        match &mut op.request {
            Some(Request::RequestRange(range)) => {
                range.revision = [0, current, current + 1][range.revision as usize];
            }
            Some(Request::RequestTxn(txn)) => {
                fill(&mut txn.success, current);
                fill(&mut txn.failure, current);
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn commands_do_what_the_model_does(
        batches in prop::collection::vec(prop::collection::vec(a_command(), 1..6), 1..12),
    ) {
        let mut world = World::new(-1);
        let mut model = Model { kvs: BTreeMap::new(), leases: BTreeSet::new(), revision: 1 };
        for mut batch in batches {
            let mut expected = Vec::new();
            for body in &mut batch {
                if let Body::Txn(txn) = body {
                    fill(&mut txn.success, model.revision);
                    fill(&mut txn.failure, model.revision);
                }
                expected.push(model.apply(body));
            }
            let replies = world.apply_all(batch.clone()).expect("apply goes on");
            for ((body, reply), expected) in batch.iter().zip(replies).zip(expected) {
                prop_assert_eq!(reply, expected, "{:?}", body);
            }
            same_state(&world, &model)?;
        }
        same_state(&world.reopen(-1), &model)?;
    }
}

fn same_state(world: &World, model: &Model) -> Result<(), TestCaseError> {
    let records: Vec<_> = model.kvs.values().cloned().collect();
    prop_assert_eq!(world.records(), records);
    prop_assert_eq!(world.revision(), model.revision);
    for id in 1..4 {
        let keys = model
            .kvs
            .values()
            .filter(|kv| kv.lease == id)
            .map(|kv| kv.key.clone());
        let expected = model.leases.contains(&id).then(|| keys.collect::<Vec<_>>());
        prop_assert_eq!(world.leases.keys(id), expected);
    }
    Ok(())
}
