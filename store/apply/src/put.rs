//! Put: one key, one revision.

use bytes::Bytes;
use mainstay_lease::Applying;
use mainstay_mvcc::Mutation;
use mainstay_proto::{
    etcdserverpb::{PutRequest, PutResponse},
    mvccpb::KeyValue,
};

use crate::{
    ApplyError, Outcome,
    context::{Attachment, Context, attach_all, header},
    error::Failure,
};

pub(crate) fn apply(
    context: &mut Context<'_, '_, '_>,
    request: &PutRequest,
) -> Result<Outcome, Failure> {
    check_lease(context.leases, request)?;
    let mut attachments = Vec::new();
    let mut mutation = context.batch.mutate();
    let response = execute(&mut mutation, &mut attachments, request)?;
    mutation.finish();
    attach_all(context.leases, attachments);
    Ok(Outcome::Put(response))
}

/// Refuses a lease that does not exist. Looked at before anything is written.
pub(crate) fn check_lease(leases: &Applying<'_>, request: &PutRequest) -> Result<(), ApplyError> {
    if request.lease != 0 && !leases.exists(request.lease) {
        return Err(ApplyError::LeaseNotFound);
    }
    Ok(())
}

/// Writes the key as part of a put or a txn. Refuses `ignore_value` and `ignore_lease` on a key
/// that does not exist; the mutation must then be dropped.
pub(crate) fn execute(
    mutation: &mut Mutation<'_>,
    attachments: &mut Vec<Attachment>,
    request: &PutRequest,
) -> Result<PutResponse, Failure> {
    let before = mutation.key_meta(&request.key);
    let (mut value, mut lease) = (request.value.clone(), request.lease);
    if request.ignore_value {
        value = current_value(mutation, &request.key)?;
    }
    if request.ignore_lease {
        lease = before.ok_or(ApplyError::KeyNotFound)?.lease;
    }
    let prev = mutation.put(&request.key, value, lease, request.prev_kv)?;
    let from = before.map_or(0, |meta| meta.lease);
    if from != lease {
        attachments.push(Attachment {
            key: request.key.clone(),
            from,
            to: lease,
        });
    }
    let prev_kv = prev.filter(|_| request.prev_kv);
    Ok(PutResponse {
        header: header(mutation.current_revision()),
        prev_kv,
    })
}

fn current_value(mutation: &Mutation<'_>, key: &[u8]) -> Result<Bytes, Failure> {
    let KeyValue { value, .. } = mutation.get(key)?.ok_or(ApplyError::KeyNotFound)?;
    Ok(value)
}
