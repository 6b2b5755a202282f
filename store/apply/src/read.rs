//! Txns that only read: answered from one revision of the store, without an entry.

use mainstay_mvcc::{RangeResult, Store};
use mainstay_proto::{
    etcdserverpb::{
        RangeRequest, RangeResponse, RequestOp, ResponseOp, TxnRequest, TxnResponse,
        request_op::Request, response_op::Response,
    },
    mvccpb::KeyValue,
};

use crate::{ApplyError, compare::Reader, context::header, error::Failure, txn::Path};

/// Whether both lists hold nothing but ranges. A nested txn counts as a write (as in etcd).
pub fn is_read_only(txn: &TxnRequest) -> bool {
    let range = |op: &RequestOp| matches!(op.request, Some(Request::RequestRange(_)));
    txn.success.iter().chain(&txn.failure).all(range)
}

/// Answers a txn for which [`is_read_only`] holds, all of it at one revision of the store. Any
/// other operation is refused as an empty one would be.
pub fn read_txn(store: &Store, txn: &TxnRequest) -> Result<TxnResponse, ApplyError> {
    loop {
        let pinned = Pinned {
            store,
            revision: store.revision(),
        };
        match pinned.txn(txn) {
            Ok(response) => return Ok(response),
            // Compacted under our feet: somebody has written and compacted since, so that the
            // next attempt begins at a newer revision.
            Err(Failure::Refused(ApplyError::Compacted))
                if store.compact_revision() > pinned.revision => {}
            Err(Failure::Refused(error)) => return Err(error),
            Err(Failure::Fatal(error)) => return Err(ApplyError::Store(error.to_string())),
        }
    }
}

/// The answer to a range, without a header.
pub fn range_response(result: RangeResult) -> RangeResponse {
    let RangeResult {
        kvs,
        count,
        more,
        revision: _,
    } = result;
    RangeResponse {
        header: None,
        kvs,
        more,
        count,
    }
}

/// Refuses a revision that is compacted or has not happened. Outside a txn everything up to 0
/// stands for the latest; inside, etcd compares what is below 0 with the compact revision too,
/// which is -1 where nothing has been compacted.
pub(crate) fn check_revision(asked: i64, current: i64, compacted: i64) -> Result<(), ApplyError> {
    if asked > current {
        return Err(ApplyError::FutureRevision);
    }
    if asked != 0 && asked < compacted {
        return Err(ApplyError::Compacted);
    }
    Ok(())
}

/// The store as it was at one revision, whatever is written meanwhile.
struct Pinned<'a> {
    store: &'a Store,
    revision: i64,
}

impl Pinned<'_> {
    fn txn(&self, txn: &TxnRequest) -> Result<TxnResponse, Failure> {
        let path = Path::choose(self, txn)?;
        let list = path.list(txn);
        for op in list {
            let asked = self.ranges(op)?.revision;
            check_revision(asked, self.revision, self.store.compact_revision())?;
        }
        let mut responses = Vec::with_capacity(list.len());
        for op in list {
            let mut response = range_response(self.range(self.ranges(op)?)?);
            response.header = header(self.revision);
            responses.push(ResponseOp {
                response: Some(Response::ResponseRange(response)),
            });
        }
        let succeeded = path.succeeded;
        Ok(TxnResponse {
            header: header(self.revision),
            succeeded,
            responses,
        })
    }

    fn ranges<'a>(&self, op: &'a RequestOp) -> Result<&'a RangeRequest, ApplyError> {
        match &op.request {
            Some(Request::RequestRange(range)) => Ok(range),
            _ => Err(ApplyError::KeyNotFound),
        }
    }
}

impl Reader for Pinned<'_> {
    fn record(&self, key: &[u8], _want_value: bool) -> Result<Option<KeyValue>, Failure> {
        let key = bytes::Bytes::copy_from_slice(key);
        let result = self.range(&RangeRequest {
            key,
            ..RangeRequest::default()
        })?;
        Ok(result.kvs.into_iter().next())
    }

    fn range(&self, request: &RangeRequest) -> Result<RangeResult, Failure> {
        if request.revision > 0 {
            return Ok(self.store.range(request)?);
        }
        let request = RangeRequest {
            revision: self.revision,
            ..request.clone()
        };
        Ok(self.store.range(&request)?)
    }
}
