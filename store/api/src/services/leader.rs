//! Ends a stream that asked for a leader once there has been none for three election timeouts.

use std::sync::Arc;

use futures::StreamExt;
use tonic::Status;

use crate::context::Context;
use crate::error::Error;
use crate::grpc::MessageStream;
use crate::limits::LEADERLESS_TICKS;
use crate::metadata::Caller;

/// Waits until the leader has been missing for three election timeouts in a row.
pub async fn lost(context: &Context) {
    let mut ticks = tokio::time::interval(context.limits.election_timeout);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first tick comes at once; the leader was there when the stream was admitted.
    ticks.tick().await;
    let mut missing = 0;
    while missing < LEADERLESS_TICKS {
        ticks.tick().await;
        missing = if context.node.leader().is_none() {
            missing + 1
        } else {
            0
        };
    }
}

/// Puts the guard around a stream, if its caller has asked for it.
pub fn guard(context: Arc<Context>, caller: Caller, mut inner: MessageStream) -> MessageStream {
    if !caller.needs_leader {
        return inner;
    }
    Box::pin(async_stream::stream! {
        let lost = lost(&context);
        tokio::pin!(lost);
        loop {
            let message = tokio::select! {
                message = inner.next() => message,
                () = &mut lost => Some(Err(Status::from(Error::NoLeader))),
            };
            let Some(message) = message else { break };
            let last = message.is_err();
            yield message;
            if last {
                break;
            }
        }
    })
}
