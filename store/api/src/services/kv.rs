//! KV: Range, Put, DeleteRange, Txn, Compact. RangeStream is in `stream.rs`.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use mainstay_apply::Outcome;
use mainstay_proto::entry::command::Body;
use mainstay_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, TxnRequest, TxnResponse,
};
use prost::Message;
use tokio::sync::oneshot;
use tonic::Status;

pub use super::stream::range_stream;
use super::{list, read_txn};
use crate::context::Context;
use crate::error::Error;
use crate::grpc::Coding;
use crate::metadata::Caller;
use crate::{check, header, spans};

/// Puts one key.
pub async fn put(
    context: Arc<Context>,
    caller: Caller,
    request: PutRequest,
) -> Result<PutResponse, Status> {
    let started = Instant::now();
    let answer = put_key(&context, caller, request).await;
    context
        .observed
        .put_seconds
        .observe(started, answer.is_ok());
    answer
}

async fn put_key(
    context: &Context,
    caller: Caller,
    request: PutRequest,
) -> Result<PutResponse, Status> {
    check::put(&request)?;
    let caller = caller.within("put", || spans::put(&request));
    let encoded = request.encoded_len();
    match context
        .propose(&caller, Body::Put(request), encoded)
        .await?
    {
        Outcome::Put(mut response) => {
            response.header = header::complete(&context.node, response.header);
            Ok(response)
        }
        _ => Err(mismatch("put")),
    }
}

/// Reads keys, by default so that every write answered before is seen.
pub async fn range(
    context: Arc<Context>,
    caller: Caller,
    request: RangeRequest,
    coding: Coding,
) -> Result<Bytes, Status> {
    let started = Instant::now();
    let answer = range_keys(&context, caller, request, coding).await;
    context
        .observed
        .range_seconds
        .observe(started, answer.is_ok());
    answer
}

async fn range_keys(
    context: &Context,
    caller: Caller,
    request: RangeRequest,
    coding: Coding,
) -> Result<Bytes, Status> {
    if !request.serializable && context.node.is_learner() {
        return Err(Error::NotSupportedForLearner.into());
    }
    check::range(&request)?;
    let caller = caller.within("range", || spans::range(&request));
    if !request.serializable {
        context.read_barrier().await?;
    }
    let permit = context.permit(&caller, |gate| gate.range(&request)).await?;
    let answer = list::answer(context, request, coding).await?;
    context.still(permit)?;
    Ok(answer)
}

/// Deletes a key or a range.
pub async fn delete_range(
    context: Arc<Context>,
    caller: Caller,
    request: DeleteRangeRequest,
) -> Result<DeleteRangeResponse, Status> {
    let started = Instant::now();
    let answer = delete_keys(&context, caller, request).await;
    context
        .observed
        .delete_seconds
        .observe(started, answer.is_ok());
    answer
}

async fn delete_keys(
    context: &Context,
    caller: Caller,
    request: DeleteRangeRequest,
) -> Result<DeleteRangeResponse, Status> {
    check::delete_range(&request)?;
    let caller = caller.within("delete_range", || spans::delete_range(&request));
    let encoded = request.encoded_len();
    match context
        .propose(&caller, Body::DeleteRange(request), encoded)
        .await?
    {
        Outcome::DeleteRange(mut response) => {
            response.header = header::complete(&context.node, response.header);
            Ok(response)
        }
        _ => Err(mismatch("delete range")),
    }
}

/// Compares and then reads or writes, all at one revision.
pub async fn txn(
    context: Arc<Context>,
    caller: Caller,
    request: TxnRequest,
) -> Result<TxnResponse, Status> {
    let started = Instant::now();
    let answer = txn_ops(&context, caller, request).await;
    context
        .observed
        .txn_seconds
        .observe(started, answer.is_ok());
    answer
}

async fn txn_ops(
    context: &Context,
    caller: Caller,
    request: TxnRequest,
) -> Result<TxnResponse, Status> {
    check::txn(&request, context.limits.txn_ops)?;
    let read_only = mainstay_apply::is_read_only(&request);
    let caller = caller.within("txn", || spans::txn(&request, read_only));
    if read_only {
        return read_txn::answer(context, &caller, request).await;
    }
    let encoded = request.encoded_len();
    match context
        .propose(&caller, Body::Txn(request), encoded)
        .await?
    {
        Outcome::Txn(mut response) => {
            response.header = header::complete(&context.node, response.header);
            Ok(response)
        }
        _ => Err(mismatch("txn")),
    }
}

/// Forgets the history before a revision.
pub async fn compact(
    context: Arc<Context>,
    caller: Caller,
    request: CompactionRequest,
) -> Result<CompactionResponse, Status> {
    let caller = caller.within("compact", || spans::compact(&request));
    let encoded = request.encoded_len();
    match context
        .propose(&caller, Body::Compact(request), encoded)
        .await?
    {
        Outcome::Compact { revision } => {
            if request.physical {
                compacted(&context, request.revision).await?;
            }
            Ok(CompactionResponse {
                header: Some(header::at(&context.node, revision)),
            })
        }
        _ => Err(mismatch("compact")),
    }
}

/// Waits until what a compaction frees is gone, for as long as the client does (etcd too has no limit
/// for it).
async fn compacted(context: &Context, revision: i64) -> Result<(), Status> {
    let (tell, told) = oneshot::channel();
    context
        .store()
        .when_compacted(revision, |result| drop(tell.send(result)));
    match told.await {
        Ok(result) => Ok(result.map_err(Error::from)?),
        // The store has been closed, or replaced by a snapshot from the leader.
        Err(_) => Err(Error::Stopped.into()),
    }
}

/// Apply answered a command with the outcome of another kind: a defect of ours.
pub(super) fn mismatch(command: &'static str) -> Status {
    tracing::error!(command, "apply answered with another command's outcome");
    Error::Storage.into()
}
