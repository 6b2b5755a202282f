//! Lock: the contender that came first owns the lock for as long as its key exists.

use std::sync::Arc;

use bytes::Bytes;
use mainstay_proto::etcdserverpb::DeleteRangeRequest;
use mainstay_proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use tonic::Status;

use super::contest::{Contender, Session, unknown};
use super::kv;
use crate::context::Context;
use crate::metadata::Caller;

/// Waits for the lock. A caller that goes away while it waits leaves nothing behind.
pub async fn lock(
    context: Arc<Context>,
    caller: Caller,
    request: LockRequest,
) -> Result<LockResponse, Status> {
    acquire(&context, &caller, request).await.map_err(unknown)
}

async fn acquire(
    context: &Arc<Context>,
    caller: &Caller,
    request: LockRequest,
) -> Result<LockResponse, Status> {
    let session = Session::open(context, caller, request.lease).await?;
    let (contender, entry) =
        Contender::enter(context, caller, &request.name, session, Bytes::new()).await?;
    let header = contender.win(&entry).await?;
    let key = contender.keep();
    Ok(LockResponse { header, key })
}

/// Gives the lock up; a key that is gone already is no error.
pub async fn unlock(
    context: Arc<Context>,
    caller: Caller,
    request: UnlockRequest,
) -> Result<UnlockResponse, Status> {
    let delete = DeleteRangeRequest {
        key: request.key,
        ..Default::default()
    };
    let deleted = kv::delete_range(context, caller, delete)
        .await
        .map_err(unknown)?;
    let header = deleted.header;
    Ok(UnlockResponse { header })
}
