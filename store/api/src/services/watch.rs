//! Watch: requests of a client go to its hub stream, and what the hub has encoded goes out as it
//! is.
//!
//! The hub bounds what a slow client holds; this side holds one frame at a time and reads on only
//! as the transport asks for more.

use std::sync::Arc;

use mainstay_proto::etcdserverpb::WatchRequest;
use mainstay_watch::{Control, Reasons};
use tonic::Status;

use super::{leader, watch_rights::WatchRights};
use crate::context::Context;
use crate::dispatch::Incoming;
use crate::error::Error;
use crate::grpc::{MessageStream, Messages};
use crate::metadata::Caller;

/// The reasons of etcd for ending a watch at its start. The hub is made with them: it knows no
/// text of its own.
pub fn reasons() -> Reasons {
    Reasons {
        duplicate_id: "mvcc: duplicate watch ID provided on the WatchStream".to_owned(),
        empty_range: "mvcc: watcher range is empty".to_owned(),
        compacted: Error::Compacted.text().to_owned(),
        // Not etcd's, which sets no limit.
        too_many: "mainstay: too many watches on the stream".to_owned(),
    }
}

/// Serves one stream until the client goes; its half-close ends nothing (etcd).
pub async fn watch<B: Incoming>(
    context: Arc<Context>,
    messages: Messages<B>,
    caller: Caller,
) -> Result<MessageStream, Status> {
    let (control, mut stream) = context.hub.open_stream();
    let (shared, asking) = (context.clone(), caller.clone());
    let events = async_stream::stream! {
        let requests = requests(&shared, &asking, messages, control);
        tokio::pin!(requests);
        loop {
            // Frames go on while a request waits for its turn in the hub.
            let next = tokio::select! {
                status = &mut requests => Err(status),
                // The hub ends streams only when the member stops.
                frame = stream.next() => frame.ok_or_else(|| Status::from(Error::Stopped)),
            };
            let last = next.is_err();
            yield next;
            if last {
                break;
            }
        }
    };
    Ok(leader::guard(context, caller, Box::pin(events)))
}

/// Hands over the client's requests until it goes; returns what its stream ends with.
async fn requests<B: Incoming>(
    context: &Context,
    caller: &Caller,
    mut messages: Messages<B>,
    control: Control,
) -> Status {
    let mut rights = WatchRights::new(context, caller);
    let mut open = true;
    loop {
        let handed = tokio::select! {
            // A message that is being read is not lost: the reader keeps what has come of it.
            request = messages.next::<WatchRequest>(), if open => match request {
                Ok(Some(request)) => rights.hand_over(&control, request).await,
                Ok(None) => {
                    open = false;
                    Ok(())
                }
                Err(status) => return canceled(status),
            },
            () = rights.changed() => rights.review(&control).await,
        };
        if handed.is_err() {
            return Error::Stopped.into();
        }
    }
}

/// A client that went away ends its stream with etcd's text; it is seen in the metrics only.
fn canceled(status: Status) -> Status {
    if status.code() == tonic::Code::Cancelled {
        Error::WatchCanceled.into()
    } else {
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_etcds() {
        let reasons = reasons();
        assert_eq!(
            reasons.duplicate_id,
            "mvcc: duplicate watch ID provided on the WatchStream"
        );
        assert_eq!(reasons.empty_range, "mvcc: watcher range is empty");
        assert_eq!(
            reasons.compacted,
            "etcdserver: mvcc: required revision has been compacted"
        );
    }

    #[test]
    fn a_gone_client_cancels_its_watches() {
        let gone = canceled(Error::ContextCanceled.into());
        assert_eq!(gone.message(), "etcdserver: watch canceled");
        let other = canceled(Status::internal("x"));
        assert_eq!(other.message(), "x");
    }
}
