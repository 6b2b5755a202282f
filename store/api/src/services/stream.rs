//! RangeStream: a long list in chunks, all of one revision.
//!
//! Nothing is read ahead: a chunk is read when the transport asks for it, so a slow client holds
//! one chunk of memory.

use std::sync::Arc;

use bytes::Bytes;
use mainstay_mvcc::View;
use mainstay_proto::etcdserverpb::{
    RangeRequest, RangeResponse, RangeStreamResponse, ResponseHeader,
};
use prost::Message;
use tonic::Status;

use super::leader;
use crate::context::{Context, Permit};
use crate::dispatch::Incoming;
use crate::error::Error;
use crate::grpc::{MessageStream, Messages};
use crate::limits::STREAM_FIRST_CHUNK_KEYS;
use crate::metadata::Caller;
use crate::{check, header, spans};

/// Opens the stream; errors of the request come at the first receive, as with any stream.
pub async fn range_stream<B: Incoming>(
    context: Arc<Context>,
    mut messages: Messages<B>,
    caller: Caller,
) -> Result<MessageStream, Status> {
    let request: RangeRequest = messages.only().await?;
    check::range_stream(&request)?;
    let caller = caller.within("range_streaming", || spans::range_stream(&request));
    if !request.serializable {
        context.read_barrier().await?;
    }
    let permit = context.permit(&caller, |gate| gate.range(&request)).await?;
    let chunks = chunks(context.clone(), request, permit);
    Ok(leader::guard(context, caller, Box::pin(chunks)))
}

fn chunks(
    context: Arc<Context>,
    request: RangeRequest,
    permit: Permit,
) -> impl futures::Stream<Item = Result<Bytes, Status>> + Send {
    async_stream::try_stream! {
        let target = context.limits.request_bytes;
        let ids = header::at(&context.node, 0);
        let mut cursor = context.scan(move |store| Cursor::open(store, request, target)).await?;
        loop {
            let (next, chunk, done) = context
                .scan(move |_| {
                    let mut cursor = cursor;
                    let (chunk, done) = cursor.chunk(ids)?;
                    Ok((cursor, chunk, done))
                })
                .await?;
            cursor = next;
            context.still(permit)?;
            yield chunk;
            if done {
                break;
            }
        }
    }
}

/// Where a stream stands.
struct Cursor {
    view: View,
    request: RangeRequest,
    /// First key of the next chunk.
    from: Bytes,
    /// Keys in the range at the pinned revision.
    count: i64,
    /// Keys to send in all, and those sent.
    wanted: i64,
    sent: i64,
    chunk_keys: usize,
    /// Bytes a chunk should have, within a factor of two.
    target: usize,
}

impl Cursor {
    fn open(
        store: &mainstay_mvcc::Store,
        request: RangeRequest,
        target: usize,
    ) -> Result<Cursor, Status> {
        let view = store.pin(request.revision).map_err(Error::from)?;
        let count = view
            .count(&request.key, &request.range_end)
            .map_err(Error::from)?;
        let limit = if request.limit > 0 {
            request.limit
        } else {
            i64::MAX
        };
        let wanted = if request.count_only {
            0
        } else {
            count.min(limit)
        };
        let from = request.key.clone();
        let chunk_keys = STREAM_FIRST_CHUNK_KEYS;
        Ok(Cursor {
            view,
            request,
            from,
            count,
            wanted,
            sent: 0,
            chunk_keys,
            target,
        })
    }

    /// The next message, and whether it is the last, which alone has header, more and count.
    fn chunk(&mut self, ids: ResponseHeader) -> Result<(Bytes, bool), Status> {
        let left = self.wanted.saturating_sub(self.sent);
        let ask = self
            .chunk_keys
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut response = RangeResponse::default();
        if ask > 0 {
            response.kvs = self
                .view
                .range_chunk(
                    &self.from,
                    &self.request.range_end,
                    ask,
                    self.request.keys_only,
                )
                .map_err(Error::from)?;
        }
        self.sent += response.kvs.len() as i64;
        if let Some(last) = response.kvs.last() {
            self.from = View::after(&last.key);
        }
        let done = self.sent >= self.wanted || response.kvs.len() < ask;
        let bytes = response.encoded_len();
        self.chunk_keys = next_chunk(self.chunk_keys, bytes, self.target);
        if done {
            let revision = self.view.store_revision();
            response.header = Some(ResponseHeader { revision, ..ids });
            response.more = !self.request.count_only && self.sent < self.count;
            response.count = self.count;
        }
        let message = RangeStreamResponse {
            range_response: Some(response),
        };
        Ok((message.encode_to_vec().into(), done))
    }
}

/// Doubles chunks below half the target and halves those above twice of it.
fn next_chunk(keys: usize, bytes: usize, target: usize) -> usize {
    if bytes < target / 2 {
        keys.saturating_mul(2)
    } else if bytes > target.saturating_mul(2) {
        (keys / 2).max(1)
    } else {
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_grow_and_shrink_towards_the_target() {
        assert_eq!(next_chunk(10, 100, 1000), 20);
        assert_eq!(next_chunk(20, 500, 1000), 20);
        assert_eq!(next_chunk(20, 2000, 1000), 20);
        assert_eq!(next_chunk(20, 2001, 1000), 10);
        assert_eq!(next_chunk(1, 9000, 1000), 1);
    }
}
