use mainstay_lease::Leases;
use mainstay_mvcc::{RangeResult, Store, Writer};
use mainstay_proto::etcdserverpb::{RangeResponse, TxnRequest, TxnResponse};
use mainstay_watch::Hub;

use crate::{AppliedEntry, AppliedState, ApplyError, Error, View, Waiters};

/// How entries are applied; every member of a cluster must be given the same quota.
#[derive(Debug, Clone)]
pub struct ApplyOptions {
    /// This member: only requests it took are answered.
    pub member_id: u64,
    /// Bytes of logical records; 0 stands for 2 GiB, less than 0 for none (etcd's rules).
    pub quota_bytes: i64,
}

pub struct Applier;

#[allow(unused_variables)]
impl Applier {
    pub fn open(
        options: ApplyOptions,
        store: Store,
        writer: Writer,
        hub: Hub,
        leases: Leases,
        waiters: Waiters,
    ) -> Result<Applier, Error> {
        todo!()
    }
    pub fn applied(&self) -> &AppliedState {
        todo!()
    }
    pub fn view(&self) -> View {
        todo!()
    }
    pub fn apply(&mut self, entries: &[AppliedEntry]) -> Result<(), Error> {
        todo!()
    }
    pub fn reset(&mut self, store: Store, writer: Writer) -> Result<(), Error> {
        todo!()
    }
}

#[allow(unused_variables)]
pub fn read_txn(store: &Store, txn: &TxnRequest) -> Result<TxnResponse, ApplyError> {
    todo!()
}
#[allow(unused_variables)]
pub fn is_read_only(txn: &TxnRequest) -> bool {
    todo!()
}
#[allow(unused_variables)]
pub fn range_response(result: RangeResult) -> RangeResponse {
    todo!()
}
