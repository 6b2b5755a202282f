//! Pipelined replication: appends go out as openraft makes them, answers come back in order on
//! the same connection. One connection a stream, so an ended stream leaves nothing behind.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use mainstay_proto::peer;
use openraft::errors::{NetworkError, RPCError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::StreamAppendResult;
use parking_lot::Mutex;
use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::codec;
use crate::network::rpc_error;
use crate::peer::dial::{Connection, Target, dial};
use crate::peer::frame::{Frame, Kind, Lane, put_frame, read_frame, send};
use crate::peer::{PeerError, SharedTraffic};
use crate::types::{AppendRequest, LogId, TypeConfig};

type RpcResult<T> = Result<T, RPCError<TypeConfig>>;
type Answer = RpcResult<StreamAppendResult<TypeConfig>>;

/// A stream whose oldest append has had no answer for this long has lost its peer. It is longer
/// than any sync a healthy disk needs and shorter than a human's patience.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two tries to reach a member that gets a snapshot.
const REDIAL_PAUSE: Duration = Duration::from_millis(500);

/// What an append covered, needed to read its answer, and when it was sent.
#[derive(Clone, Copy)]
struct Covered {
    at: Instant,
    prev: Option<LogId>,
    last: Option<LogId>,
}

type Sent = Arc<Mutex<VecDeque<Covered>>>;

/// Waits for the first append before it dials. openraft sleeps off an unreachable peer inside
/// `input`, so a stream that failed before it asked `input` would be opened again at once, and a
/// dead member would cost the leader a whole core (measured on alpha.37).
pub async fn open<'s, S>(
    target: Target,
    traffic: SharedTraffic,
    mut input: S,
    _option: RPCOption,
) -> RpcResult<BoxStream<'s, Answer>>
where
    S: Stream<Item = AppendRequest> + Send + Unpin + 'static,
{
    let Some(first) = input.next().await else {
        return Ok(stream::empty().boxed());
    };
    let connection = loop {
        match dial(&target, Lane::Append).await {
            Ok(connection) => break connection,
            // As with its answers: a member that installs may be too busy to accept.
            Err(_) if traffic.snapshots.load(Ordering::Relaxed) > 0 => sleep(REDIAL_PAUSE).await,
            Err(error) => {
                traffic.failed();
                return Err(rpc_error(error));
            }
        }
    };
    let sent = Sent::default();
    let Connection { reader, writer } = connection;
    let input = stream::iter([first]).chain(input);
    let writing = tokio::spawn(write(writer, input, sent.clone(), traffic.clone()));
    let answers = Answers {
        reader,
        sent,
        member: target.to,
        traffic,
        ended: false,
        _writer: AbortOnDrop(writing.abort_handle()),
    };
    Ok(stream::unfold(answers, next_answer).boxed())
}

/// Sends until openraft ends the stream; then closes our direction, which the other side answers
/// by finishing its answers and closing too.
async fn write<W, S>(mut writer: W, input: S, sent: Sent, traffic: SharedTraffic)
where
    W: tokio::io::AsyncWrite + Unpin,
    S: Stream<Item = AppendRequest> + Send + Unpin,
{
    let mut input = input;
    let mut out = BytesMut::new();
    while let Some(request) = input.next().await {
        sent.lock().push_back(Covered {
            at: Instant::now(),
            prev: request.prev_log_id,
            last: request
                .entries
                .last()
                .map(|entry| entry.log_id)
                .or(request.prev_log_id),
        });
        out.clear();
        put_frame(&mut out, Kind::Append, 0, &codec::append_out(&request));
        traffic.sent(out.len());
        if send(&mut writer, &out).await.is_err() {
            return;
        }
    }
    let _ = writer.shutdown().await;
}

struct Answers<R> {
    reader: R,
    sent: Sent,
    member: u64,
    traffic: SharedTraffic,
    ended: bool,
    _writer: AbortOnDrop,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn next_answer<R: tokio::io::AsyncRead + Unpin>(
    mut answers: Answers<R>,
) -> Option<(Answer, Answers<R>)> {
    if answers.ended {
        return None;
    }
    let member = answers.member;
    let frame = match wait(&mut answers).await {
        Ok(Some(frame)) => frame,
        Ok(None) => return None,
        Err(error) => return answers.fail(error),
    };
    answers.traffic.received(frame.payload.len());
    let covered = answers.sent.lock().pop_front();
    let Some(covered) = covered else {
        return answers.fail(PeerError::Lost { member });
    };
    let response = match peer::AppendResponse::decode(frame.payload) {
        Ok(response) => response,
        Err(source) => return answers.fail(PeerError::Decode { member, source }),
    };
    let answer = match codec::append_response_in(response) {
        Ok(Ok(response)) => Ok(response.into_stream_result(covered.prev, covered.last)),
        Ok(Err(reason)) => Err(Unreachable::from_string(reason).into()),
        Err(error) => Err(NetworkError::new(&error).into()),
    };
    if let Ok(Ok(_)) = answer {
        answers.traffic.acked(covered.at);
    }
    // A conflict or a higher vote is the last answer of a stream.
    answers.ended = !matches!(answer, Ok(Ok(_)));
    Some((answer, answers))
}

/// The next frame; `None` once everything that was sent has been answered and the other side is done.
async fn wait<R: tokio::io::AsyncRead + Unpin>(
    answers: &mut Answers<R>,
) -> Result<Option<Frame>, PeerError> {
    let Answers {
        reader,
        sent,
        member,
        traffic,
        ..
    } = answers;
    let member = *member;
    // One read for all the waiting: given up half-way it would lose the beginning of a frame.
    let mut read = pin!(read_frame(reader));
    loop {
        match timeout(ANSWER_TIMEOUT, read.as_mut()).await {
            Ok(Ok(Some(frame))) => return Ok(Some(frame)),
            // The other side closes only after it has answered everything, or because it failed.
            Ok(Ok(None)) if sent.lock().is_empty() => return Ok(None),
            Ok(_) => return Err(PeerError::Lost { member }),
            Err(_) if sent.lock().is_empty() => {}
            // A member answers no append while it installs. Were the stream to fail, openraft
            // would forget the snapshot under way and send another one, for ever (alpha.37).
            Err(_) if traffic.snapshots.load(Ordering::Relaxed) > 0 => {}
            Err(_) => return Err(PeerError::Timeout { member }),
        }
    }
}

impl<R> Answers<R> {
    fn fail(mut self, error: PeerError) -> Option<(Answer, Answers<R>)> {
        self.traffic.failed();
        self.ended = true;
        Some((Err(rpc_error(error)), self))
    }
}
