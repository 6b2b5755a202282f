//! The peer listener's side of a connection.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use futures::StreamExt;
use parking_lot::Mutex;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::frame::{Frame, Kind, Lane, Preamble, read_frame, read_preamble, send, write_preamble};
use crate::codec;
use crate::handler::{Handler, failure};
use crate::snapshot::receive;
use crate::types::{AppendRequest, AppendResponse, LogId};

/// A connection that has not said who it is by then is closed.
const PREAMBLE_TIMEOUT: Duration = Duration::from_secs(5);
const READ_BUFFER_BYTES: usize = 64 << 10;
/// Questions of one connection answered at a time; its reading stops beyond it.
const QUESTIONS_MAX: usize = 1024;
/// Appends of one stream inside raft at a time (openraft's own pipeline holds 64).
const APPENDS_MAX: usize = 128;
/// Bytes of them, in KiB: what a follower whose disk is slower than its network may pile up.
const APPENDS_KIB_MAX: u32 = 64 << 10;
/// Answers written by one system call at most.
const WRITE_BATCH: usize = 64;

/// Everything a connection needs, shared by all of them.
pub struct Service {
    pub cluster: u64,
    pub own: u64,
    pub handler: Arc<Handler>,
    /// Where snapshots come in.
    pub scratch: PathBuf,
    pub stop: CancellationToken,
}

/// Serves one accepted connection to its end. Whatever a stranger sends ends here with a line in
/// the log.
pub async fn serve<R, W>(service: Arc<Service>, reader: R, writer: W, from: String)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let stop = service.stop.clone();
    tokio::select! {
        () = stop.cancelled() => {}
        () = converse(service, reader, writer, from) => {}
    }
}

async fn converse<R, W>(service: Arc<Service>, reader: R, mut writer: W, from: String)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
    let preamble = match timeout(PREAMBLE_TIMEOUT, read_preamble(&mut reader)).await {
        Ok(Ok(preamble)) => preamble,
        Ok(Err(error)) => {
            tracing::debug!(from, %error, "peer connection refused");
            return;
        }
        Err(_) => {
            tracing::debug!(from, "peer connection did not introduce itself in time");
            return;
        }
    };
    let removed = |from| service.handler.view.is_removed(from);
    let gone = preamble.cluster == service.cluster && removed(preamble.from);
    let own = Preamble {
        lane: if gone { Lane::Removed } else { preamble.lane },
        cluster: service.cluster,
        from: service.own,
        to: preamble.from,
    };
    if write_preamble(&mut writer, &own).await.is_err() {
        return;
    }
    if gone {
        let member = format!("{:x}", preamble.from);
        tracing::info!(from, member, "turned away a member that was removed");
        // It reads the preamble and hangs up.
        let _ = writer.shutdown().await;
        return;
    }
    if preamble.lane == Lane::Inquiry {
        return inquiry(&service, reader, writer).await;
    }
    if preamble.cluster != service.cluster || preamble.to != service.own {
        tracing::warn!(
            from,
            cluster = format!("{:x}", preamble.cluster),
            member = format!("{:x}", preamble.to),
            "peer connection is meant for another cluster or member"
        );
        return;
    }
    match preamble.lane {
        Lane::Control => questions(&service, preamble.from, reader, writer).await,
        Lane::Append => appends(&service, reader, writer).await,
        Lane::Snapshot if service.handler.is_admitted() => {
            let raft = &service.handler.raft;
            let served = receive::serve(raft, &service.scratch, &mut reader, &mut writer).await;
            if let Err(error) = served {
                tracing::warn!(from, %error, "snapshot connection broke");
            }
        }
        Lane::Snapshot | Lane::Inquiry | Lane::Removed => {}
    }
}

/// One question of one who wants to join, then the end.
async fn inquiry<R, W>(service: &Arc<Service>, mut reader: R, mut writer: W)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let question = timeout(PREAMBLE_TIMEOUT, read_frame(&mut reader)).await;
    let Ok(Ok(Some(frame))) = question else {
        return;
    };
    if frame.kind != Kind::Members {
        return;
    }
    let answer = service.handler.members(service.cluster).await;
    let mut out = BytesMut::new();
    put_answer(&mut out, Kind::Members, frame.id, &answer.encode_to_vec());
    if send(&mut writer, &out).await.is_ok() {
        let _ = writer.shutdown().await;
    }
}

fn put_answer(out: &mut BytesMut, kind: Kind, id: u64, answer: &[u8]) {
    let length = u32::try_from(answer.len().saturating_add(9)).unwrap_or(u32::MAX);
    out.put_u32(length);
    out.put_u8(kind as u8);
    out.put_u64(id);
    out.put_slice(answer);
}

async fn questions<R, W>(service: &Arc<Service>, from: u64, mut reader: R, mut writer: W)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (answers, mut answered) = mpsc::channel::<(Kind, u64, Option<Vec<u8>>)>(QUESTIONS_MAX);
    let limit = Arc::new(Semaphore::new(QUESTIONS_MAX));
    let handler = service.handler.clone();
    let read = async move {
        while let Ok(Some(Frame { kind, id, payload })) = read_frame(&mut reader).await {
            // Removed meanwhile: when it dials again it is told so.
            if handler.view.is_removed(from) {
                return;
            }
            let Ok(permit) = limit.clone().acquire_owned().await else {
                return;
            };
            let handler = handler.clone();
            let answers = answers.clone();
            tokio::spawn(async move {
                let answer = match handler.answer(kind, payload).await {
                    Ok(answer) => Some(answer),
                    Err(error) => {
                        tracing::debug!(?kind, %error, "a peer's question failed");
                        failure(kind, &error)
                    }
                };
                let _ = answers.send((kind, id, answer)).await;
                drop(permit);
            });
        }
    };
    let write = async move {
        let mut batch = Vec::new();
        let mut out = BytesMut::new();
        while answered.recv_many(&mut batch, WRITE_BATCH).await > 0 {
            out.clear();
            for (kind, id, answer) in batch.drain(..) {
                // Without an answer the connection ends, which the asker sees as "unknown".
                let Some(answer) = answer else { return };
                put_answer(&mut out, kind, id, &answer);
            }
            if send(&mut writer, &out).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}

/// An append inside raft: what it ends with, and its share of the bytes that may be.
struct Inside {
    last: Option<LogId>,
    _room: OwnedSemaphorePermit,
}

type Sent = Arc<Mutex<VecDeque<Inside>>>;

/// Hands on what the connection brings until it ends or brings what is no append.
async fn read_appends<R: AsyncRead + Unpin>(
    mut reader: R,
    handler: Arc<Handler>,
    sent: Sent,
    requests: mpsc::Sender<AppendRequest>,
) {
    let room = Arc::new(Semaphore::new(APPENDS_KIB_MAX as usize));
    while let Ok(Some(frame)) = read_frame(&mut reader).await {
        let kib = u32::try_from(frame.payload.len() >> 10).unwrap_or(u32::MAX);
        let share = kib.saturating_add(1).min(APPENDS_KIB_MAX);
        let Ok(room) = room.clone().acquire_many_owned(share).await else {
            return;
        };
        let request = match handler.decode_append(frame.payload) {
            Ok(request) if frame.kind == Kind::Append => request,
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "an append does not decode");
                return;
            }
        };
        let last = request.entries.last().map(|entry| entry.log_id);
        sent.lock().push_back(Inside {
            last: last.or(request.prev_log_id),
            _room: room,
        });
        if requests.send(request).await.is_err() {
            return;
        }
    }
}

/// Feeds one connection's appends to raft as one stream and answers in order.
async fn appends<R, W>(service: &Arc<Service>, reader: R, mut writer: W)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    if !service.handler.is_admitted() {
        return;
    }
    let (requests, received) = mpsc::channel::<AppendRequest>(APPENDS_MAX);
    let sent = Sent::default();
    let read = read_appends(reader, service.handler.clone(), sent.clone(), requests);
    let reading = tokio::spawn(read);
    let input = futures::stream::unfold(received, |mut received| async move {
        received.recv().await.map(|request| (request, received))
    });
    let results = service.handler.raft.stream_append(input);
    let mut results = pin!(results.ready_chunks(WRITE_BATCH));
    let mut out = BytesMut::new();
    'answers: while let Some(chunk) = results.next().await {
        out.clear();
        let mut ended = false;
        for result in chunk {
            let Some(Inside { last, .. }) = sent.lock().pop_front() else {
                break 'answers;
            };
            let Ok(result) = result else {
                break 'answers;
            };
            // A stream may confirm less than was asked for; only "all of it" is a plain success.
            let response = match result {
                Ok(matched) if matched == last => AppendResponse::Success,
                Ok(matched) => AppendResponse::PartialSuccess(matched),
                Err(error) => {
                    ended = true;
                    AppendResponse::from(Err(error))
                }
            };
            if !matches!(response, AppendResponse::HigherVote(_)) {
                service.handler.leadership.heard();
            }
            let answer = codec::append_response_out(&response).encode_to_vec();
            put_answer(&mut out, Kind::Append, 0, &answer);
        }
        if send(&mut writer, &out).await.is_err() || ended {
            break;
        }
    }
    reading.abort();
    let _ = writer.shutdown().await;
}
