//! DeleteRange: all keys of a range, one revision, none if there was nothing to delete.

use mainstay_mvcc::Mutation;
use mainstay_proto::etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse};

use crate::{
    Outcome,
    context::{Attachment, Context, attach_all, header},
    error::Failure,
};

pub(crate) fn apply(
    context: &mut Context<'_, '_, '_>,
    request: &DeleteRangeRequest,
) -> Result<Outcome, Failure> {
    let mut attachments = Vec::new();
    let mut mutation = context.batch.mutate();
    let response = execute(&mut mutation, &mut attachments, request)?;
    mutation.finish();
    attach_all(context.leases, attachments);
    Ok(Outcome::DeleteRange(response))
}

/// Deletes as part of a delete or a txn.
pub(crate) fn execute(
    mutation: &mut Mutation<'_>,
    attachments: &mut Vec<Attachment>,
    request: &DeleteRangeRequest,
) -> Result<DeleteRangeResponse, Failure> {
    let gone = mutation.delete_range(&request.key, &request.range_end, request.prev_kv)?;
    let leased = gone.iter().filter(|kv| kv.lease != 0);
    attachments.extend(leased.map(|kv| Attachment {
        key: kv.key.clone(),
        from: kv.lease,
        to: 0,
    }));
    let deleted = i64::try_from(gone.len()).unwrap_or(i64::MAX);
    let prev_kvs = if request.prev_kv { gone } else { Vec::new() };
    Ok(DeleteRangeResponse {
        header: header(mutation.current_revision()),
        deleted,
        prev_kvs,
    })
}
