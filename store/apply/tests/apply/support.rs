//! An applier with everything it needs, and the entries to feed it.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use mainstay_apply::{
    AppliedEntry, Applier, ApplyError, ApplyOptions, EntryPayload, Error, Outcome, Reply, View,
    Waiters,
};
use mainstay_auth::{Auth, Caller};
use mainstay_lease::Leases;
use mainstay_mvcc::{Store, Writer};
use mainstay_proto::{
    entry::command::Body,
    etcdserverpb::{
        Compare, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp,
        TxnRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
    },
    mvccpb::KeyValue,
    peer,
};
use mainstay_watch::{HeaderIds, Hub, Options, Reasons};
use prost::Message;

pub const MEMBER: u64 = 7;

pub struct World {
    /// Of the member that proposes.
    pub quota_bytes: i64,
    pub applier: Applier,
    pub leases: Leases,
    pub auth: Auth,
    pub waiters: Waiters,
    pub view: View,
    pub index: u64,
    pub term: u64,
    dir: Arc<tempfile::TempDir>,
}

fn open_store(dir: &Path) -> (Store, Writer) {
    let options = mainstay_mvcc::Options {
        checkpoint: false,
        block_cache_bytes: 1 << 20,
        write_buffer_bytes: 4 << 20,
        ..mainstay_mvcc::Options::new(dir.join("store"))
    };
    Store::open(options).expect("a store")
}

fn hub(store: Store) -> Hub {
    let reasons = Reasons {
        duplicate_id: String::new(),
        empty_range: String::new(),
        compacted: String::new(),
        too_many: String::new(),
    };
    Hub::new(store, Options::new(Arc::new(HeaderIds::default), reasons))
}

impl World {
    pub fn new(quota_bytes: i64) -> World {
        World::open(
            Arc::new(tempfile::tempdir().expect("a directory")),
            quota_bytes,
        )
    }

    fn open(dir: Arc<tempfile::TempDir>, quota_bytes: i64) -> World {
        let (store, writer) = open_store(dir.path());
        let hub = hub(store.clone());
        let now = Arc::new(|| Duration::ZERO);
        let leases = Leases::new(mainstay_lease::Options::new(Duration::from_secs(1), now));
        let waiters = Waiters::default();
        let options = ApplyOptions {
            member_id: MEMBER,
            quota_bytes,
        };
        let now = Arc::new(|| Duration::ZERO);
        let auth = Auth::new(mainstay_auth::Options {
            token_ttl: Duration::from_secs(300),
            now,
        });
        let rooms = (leases.clone(), auth.clone(), waiters.clone());
        let applier = Applier::open(options, store, writer, hub, rooms.0, rooms.1, rooms.2);
        let applier = applier.expect("an applier");
        let (view, applied) = (applier.view(), applier.applied().clone());
        let (index, term) = (applied.index(), applied.term().max(1));
        World {
            quota_bytes,
            applier,
            leases,
            auth,
            waiters,
            view,
            index,
            term,
            dir,
        }
    }

    /// Stops with everything flushed, and starts again.
    pub fn reopen(self, quota_bytes: i64) -> World {
        self.view.store().flush().expect("a flush");
        let World {
            applier,
            leases,
            waiters,
            view,
            dir,
            ..
        } = self;
        drop((applier, leases, waiters, view));
        World::open(dir, quota_bytes)
    }

    pub fn entry(&mut self, request: u64, body: Body) -> AppliedEntry {
        self.entry_of(Caller::Member, request, body)
    }

    pub fn entry_of(&mut self, caller: Caller, request: u64, body: Body) -> AppliedEntry {
        self.index += 1;
        let command = mainstay_apply::encode(MEMBER, request, caller, self.quota_bytes, body)
            .expect("a shallow command");
        AppliedEntry {
            term: self.term,
            index: self.index,
            payload: EntryPayload::Command(command),
        }
    }

    /// What one command of a caller is answered with.
    pub fn reply_to(&mut self, caller: &Caller, body: Body) -> Reply {
        let mut waiter = self.waiters.register(0);
        let entry = self.entry_of(caller.clone(), 0, body);
        self.applier.apply(&[entry]).expect("an entry applies");
        waiter.try_recv().expect("apply answers before it returns")
    }

    /// Applies commands as one batch and returns the replies.
    pub fn apply_all(&mut self, bodies: Vec<Body>) -> Result<Vec<Reply>, Error> {
        let waiting: Vec<_> = (0..bodies.len())
            .map(|n| self.waiters.register(n as u64))
            .collect();
        let entries: Vec<_> = bodies
            .into_iter()
            .enumerate()
            .map(|(request, body)| self.entry(request as u64, body))
            .collect();
        self.applier.apply(&entries)?;
        let reply = |mut waiter: tokio::sync::oneshot::Receiver<Reply>| {
            waiter.try_recv().expect("apply answers before it returns")
        };
        Ok(waiting.into_iter().map(reply).collect())
    }

    pub fn apply(&mut self, body: Body) -> Reply {
        self.apply_all(vec![body]).expect("apply goes on").remove(0)
    }

    pub fn ok(&mut self, body: Body) -> Outcome {
        self.apply(body).expect("not refused")
    }

    /// Applies a membership of these voters.
    pub fn members(&mut self, ids: &[u64]) {
        let node = |id: &u64| peer::Node {
            id: *id,
            ..peer::Node::default()
        };
        let membership = peer::Membership {
            configs: vec![peer::Voters { ids: ids.to_vec() }],
            nodes: ids.iter().map(node).collect(),
        };
        self.index += 1;
        let entry = AppliedEntry {
            term: self.term,
            index: self.index,
            payload: EntryPayload::Membership(membership.encode_to_vec().into()),
        };
        self.applier.apply(&[entry]).expect("a membership");
    }

    pub fn refused(&mut self, body: Body) -> ApplyError {
        self.apply(body).expect_err("refused")
    }

    pub fn revision(&self) -> i64 {
        self.view.store().revision()
    }

    /// All records, as of now.
    pub fn records(&self) -> Vec<KeyValue> {
        self.view
            .store()
            .range(&range("\0", "\0"))
            .expect("a range")
            .kvs
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn put_request(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: bytes(key),
        value: bytes(value),
        ..PutRequest::default()
    }
}

pub fn put(key: &str, value: &str) -> Body {
    Body::Put(put_request(key, value))
}

pub fn put_leased(key: &str, value: &str, lease: i64) -> Body {
    Body::Put(PutRequest {
        lease,
        ..put_request(key, value)
    })
}

pub fn delete(key: &str, range_end: &str) -> DeleteRangeRequest {
    let (key, range_end) = (bytes(key), bytes(range_end));
    DeleteRangeRequest {
        key,
        range_end,
        prev_kv: false,
    }
}

pub fn range(key: &str, range_end: &str) -> RangeRequest {
    let (key, range_end) = (bytes(key), bytes(range_end));
    RangeRequest {
        key,
        range_end,
        ..RangeRequest::default()
    }
}

pub fn grant(id: i64, ttl: i64) -> Body {
    Body::LeaseGrant(LeaseGrantRequest { ttl, id })
}

pub fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

pub fn compare(
    key: &str,
    target: CompareTarget,
    result: CompareResult,
    union: TargetUnion,
) -> Compare {
    Compare {
        result: result as i32,
        target: target as i32,
        key: bytes(key),
        range_end: Bytes::new(),
        target_union: Some(union),
    }
}

pub fn txn(compare: Vec<Compare>, success: Vec<Request>, failure: Vec<Request>) -> TxnRequest {
    let ops = |requests: Vec<Request>| requests.into_iter().map(op).collect();
    TxnRequest {
        compare,
        success: ops(success),
        failure: ops(failure),
    }
}
