//! Txn: compares, then one of two lists of operations, as one revision or not at all.

use mainstay_mvcc::Mutation;
use mainstay_proto::etcdserverpb::{
    PutRequest, RangeRequest, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
    request_op::Request, response_op::Response,
};

use crate::{
    ApplyError, Outcome,
    compare::{self, Reader},
    context::{Attachment, Context, attach_all, header},
    error::Failure,
    put::{self, check_lease},
    read::{check_revision, range_response},
};

pub(crate) fn apply(
    context: &mut Context<'_, '_, '_>,
    request: &TxnRequest,
) -> Result<Outcome, Failure> {
    let path = Path::choose(context.batch, request)?;
    check(context, path.list(request), &path)?;
    let mut attachments = Vec::new();
    let mut mutation = context.batch.mutate();
    // A refusal from here on drops the mutation, which leaves nothing behind.
    let responses = execute(&mut mutation, &mut attachments, path.list(request), &path)?;
    let revision = mutation.finish();
    attach_all(context.leases, attachments);
    let succeeded = path.succeeded;
    Ok(Outcome::Txn(TxnResponse {
        header: header(revision),
        succeeded,
        responses,
    }))
}

/// Which branch is taken, here and in each nested txn of that branch, in order. All of it is
/// decided on the state before the txn (as in etcd), so a nested compare does not see what an
/// earlier operation writes.
pub(crate) struct Path {
    pub succeeded: bool,
    nested: Vec<Path>,
}

impl Path {
    pub(crate) fn choose(reader: &impl Reader, request: &TxnRequest) -> Result<Path, Failure> {
        let mut succeeded = true;
        for compare in &request.compare {
            succeeded = succeeded && compare::holds(reader, compare)?;
        }
        let mut path = Path {
            succeeded,
            nested: Vec::new(),
        };
        for op in path.list(request) {
            if let Some(Request::RequestTxn(inner)) = &op.request {
                path.nested.push(Path::choose(reader, inner)?);
            }
        }
        Ok(path)
    }

    pub(crate) fn list<'a>(&self, request: &'a TxnRequest) -> &'a [RequestOp] {
        if self.succeeded {
            &request.success
        } else {
            &request.failure
        }
    }
}

/// What can be refused is refused before anything is written, on the state before the txn: an
/// inner range at the revision this txn is about to make is in the future, even after a put.
fn check(context: &Context<'_, '_, '_>, list: &[RequestOp], path: &Path) -> Result<(), Failure> {
    let mut nested = path.nested.iter();
    for op in list {
        match op.request.as_ref().ok_or(ApplyError::KeyNotFound)? {
            Request::RequestRange(range) => check_range(context, range)?,
            Request::RequestPut(put) => check_put(context, put)?,
            Request::RequestDeleteRange(_) => {}
            Request::RequestTxn(inner) => {
                if let Some(path) = nested.next() {
                    check(context, path.list(inner), path)?;
                }
            }
        }
    }
    Ok(())
}

fn check_range(context: &Context<'_, '_, '_>, range: &RangeRequest) -> Result<(), ApplyError> {
    let (revision, compacted) = (context.batch.revision(), context.batch.compact_revision());
    check_revision(range.revision, revision, compacted)
}

fn check_put(context: &Context<'_, '_, '_>, put: &PutRequest) -> Result<(), ApplyError> {
    check_lease(context.leases, put)?;
    let keeps = put.ignore_value || put.ignore_lease;
    if keeps && context.batch.key_meta(&put.key).is_none() {
        return Err(ApplyError::KeyNotFound);
    }
    Ok(())
}

fn execute(
    mutation: &mut Mutation<'_>,
    attachments: &mut Vec<Attachment>,
    list: &[RequestOp],
    path: &Path,
) -> Result<Vec<ResponseOp>, Failure> {
    let mut nested = path.nested.iter();
    let mut responses = Vec::with_capacity(list.len());
    for op in list {
        let response = match op.request.as_ref().ok_or(ApplyError::KeyNotFound)? {
            Request::RequestRange(request) => {
                let mut response = range_response(mutation.range(request)?);
                response.header = header(mutation.current_revision());
                Response::ResponseRange(response)
            }
            Request::RequestPut(request) => {
                Response::ResponsePut(put::execute(mutation, attachments, request)?)
            }
            Request::RequestDeleteRange(request) => {
                let response = crate::delete::execute(mutation, attachments, request)?;
                Response::ResponseDeleteRange(response)
            }
            Request::RequestTxn(inner) => {
                let path = nested.next().ok_or(ApplyError::KeyNotFound)?;
                let responses = execute(mutation, attachments, path.list(inner), path)?;
                Response::ResponseTxn(nested_response(path, responses))
            }
        };
        responses.push(ResponseOp {
            response: Some(response),
        });
    }
    Ok(responses)
}

/// The header of a nested txn is present but empty, as in etcd.
pub(crate) fn nested_response(path: &Path, responses: Vec<ResponseOp>) -> TxnResponse {
    let header = Some(ResponseHeader::default());
    TxnResponse {
        header,
        succeeded: path.succeeded,
        responses,
    }
}
