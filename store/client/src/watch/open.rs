//! One stream of a watch to one member, from the request to the word that it has begun.

use std::time::Duration;

use mainstay_proto::etcdserverpb::watch_client::WatchClient;
use mainstay_proto::etcdserverpb::watch_request::RequestUnion;
use mainstay_proto::etcdserverpb::{WatchCreateRequest, WatchRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::parts::{Part, Parts};
use super::refused;
use crate::calls::{Calls, Chosen, refused as refusal, told};
use crate::error::Error;
use crate::verdict::Verdict;

/// Between two tries to go on where no member answers.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(20);
pub(super) const RETRY_MOST: Duration = Duration::from_secs(2);
/// Longest wait for a member to say that the watch has begun.
const BEGIN_WAIT: Duration = Duration::from_secs(5);

/// A stream on which the watch has begun.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) chosen: Chosen,
    pub(super) parts: Parts,
    /// Of the store when it began.
    pub(super) revision: i64,
    /// The member ends the stream when this is dropped.
    _requests: mpsc::Sender<WatchRequest>,
}

pub(super) enum Unopened {
    /// Another try may do better.
    ForNow(String),
    Over(Error),
}

impl Stream {
    pub(super) async fn open(
        calls: &Calls,
        request: WatchCreateRequest,
    ) -> Result<Stream, Unopened> {
        let chosen = match calls.choose(true).await {
            Ok(chosen) => chosen,
            Err((at, status)) if Verdict::of(&status) == Verdict::Refused => {
                tracing::debug!(at, "log-in refused");
                return Err(Unopened::Over(refusal("Authenticate", &status)));
            }
            Err((at, status)) => {
                calls.leave(at);
                return Err(Unopened::ForNow(told(&status)));
            }
        };
        match tokio::time::timeout(BEGIN_WAIT, begin(&chosen, request)).await {
            Ok(Ok((parts, requests, revision))) => Ok(Stream {
                chosen,
                parts,
                revision,
                _requests: requests,
            }),
            Ok(Err(part)) => Err(unopened(calls, &chosen, part).await),
            Err(_) => {
                calls.leave_chosen(&chosen);
                Err(Unopened::ForNow("the member says nothing".to_owned()))
            }
        }
    }
}

async fn begin(
    chosen: &Chosen,
    request: WatchCreateRequest,
) -> Result<(Parts, mpsc::Sender<WatchRequest>, i64), Part> {
    let (send, requests) = mpsc::channel(1);
    let create = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(request)),
    };
    // The channel has room for one.
    let _ = send.try_send(create);
    let stub = WatchClient::new(chosen.line.clone());
    let mut stub = stub.max_decoding_message_size(usize::MAX);
    let answers = stub.watch(ReceiverStream::new(requests)).await;
    let answers = answers.map_err(|status| Part::of_status(&status))?;
    let mut parts = Parts::new(answers.into_inner());
    let revision = parts.begun().await?;
    Ok((parts, send, revision))
}

/// What it means that the first word was another than that the watch has begun.
async fn unopened(calls: &Calls, chosen: &Chosen, part: Part) -> Unopened {
    match part {
        Part::Compacted { revision } => Unopened::Over(Error::Compacted { revision }),
        Part::Refused { code, message } => Unopened::Over(refused(code, message)),
        Part::TokenStale { reason } => {
            if !calls.renew(&chosen.token).await {
                let code = tonic::Code::Unauthenticated;
                return Unopened::Over(refused(code, reason));
            }
            Unopened::ForNow(reason)
        }
        Part::Ended { reason } => {
            calls.leave_chosen(chosen);
            Unopened::ForNow(reason)
        }
        Part::Events { .. } | Part::Progress { .. } => {
            calls.leave_chosen(chosen);
            Unopened::ForNow("events came before the watch had begun".to_owned())
        }
    }
}
