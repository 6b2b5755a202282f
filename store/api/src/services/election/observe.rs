//! Follows an election: each leader once it leads, and everything it proclaims.

use std::sync::Arc;

use bytes::Bytes;
use mainstay_proto::etcdserverpb::ResponseHeader;
use mainstay_proto::mvccpb::{KeyValue, event::EventType};
use mainstay_proto::v3electionpb::{LeaderRequest, LeaderResponse};
use prost::Message;
use tonic::Status;

use crate::context::Context;
use crate::dispatch::Incoming;
use crate::grpc::{MessageStream, Messages};
use crate::metadata::Caller;
use crate::services::contest::{self, unknown};
use crate::services::key_watch::KeyWatch;
use crate::services::leader;

/// Opens the stream, which ends when its client goes.
pub async fn observe<B: Incoming>(
    context: Arc<Context>,
    mut messages: Messages<B>,
    caller: Caller,
) -> Result<MessageStream, Status> {
    let request: LeaderRequest = messages.only().await?;
    let prefix = contest::prefix(&request.name);
    let (shared, asking) = (context.clone(), caller.clone());
    let leaders = async_stream::stream! {
        let follow = follow(shared, asking, prefix);
        for await leader in follow {
            yield leader.map_err(unknown);
        }
    };
    Ok(leader::guard(context, caller, Box::pin(leaders)))
}

fn follow(
    context: Arc<Context>,
    caller: Caller,
    prefix: Bytes,
) -> impl futures::Stream<Item = Result<Bytes, Status>> + Send {
    async_stream::try_stream! {
        loop {
            let Some((header, leader)) = elected(&context, &caller, &prefix).await? else {
                continue;
            };
            let (key, from) = (leader.key.clone(), header.revision.saturating_add(1));
            yield answer(header, leader);
            let mut watch = KeyWatch::open(&context, key, Bytes::new(), from).await?;
            while let Some((header, event)) = watch.next().await? {
                if event.r#type() == EventType::Delete {
                    break;
                }
                if let Some(kv) = event.kv {
                    yield answer(header, kv);
                }
            }
        }
    }
}

/// The leader of now, or the first to come. `None` if the history it would come from has been
/// compacted meanwhile.
async fn elected(
    context: &Arc<Context>,
    caller: &Caller,
    prefix: &Bytes,
) -> Result<Option<(ResponseHeader, KeyValue)>, Status> {
    let first = contest::first(prefix);
    let range_end = first.range_end.clone();
    let (header, found) = contest::read(context, caller, first).await?;
    let header = header.unwrap_or_default();
    if let Some(kv) = found.into_iter().next() {
        return Ok(Some((header, kv)));
    }
    let from = header.revision.saturating_add(1);
    let mut watch = KeyWatch::open(context, prefix.clone(), range_end, from).await?;
    while let Some((header, event)) = watch.next().await? {
        if event.r#type() == EventType::Put
            && let Some(kv) = event.kv
        {
            // The response may hold later revisions too; what follows begins after this one.
            let revision = kv.mod_revision;
            return Ok(Some((ResponseHeader { revision, ..header }, kv)));
        }
    }
    Ok(None)
}

fn answer(header: ResponseHeader, kv: KeyValue) -> Bytes {
    let response = LeaderResponse {
        header: Some(header),
        kv: Some(kv),
    };
    response.encode_to_vec().into()
}
