//! Questions to one member over one kept connection, any number under way at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::dial::{Connection, Target, dial};
use super::frame::{Kind, Lane, put_frame, read_frame, send};
use super::{PeerError, SharedTraffic};

/// Frames waiting to be written to one member; a caller waits for a place beyond it.
const QUEUE_FRAMES_MAX: usize = 1024;
/// Frames written by one system call at most.
const WRITE_BATCH_FRAMES: usize = 256;

/// A connection on which a question timed out and nothing has come in for this long is closed. A
/// partition that has healed would otherwise wait for TCP's next retransmission, which backs off
/// to minutes.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// The control connection to one member. It is dialled when first needed and again after a loss.
#[derive(Clone)]
pub struct Caller(Arc<Inner>);

struct Inner {
    target: Target,
    traffic: SharedTraffic,
    link: AsyncMutex<Option<Link>>,
}

type Pending = Arc<Mutex<HashMap<u64, oneshot::Sender<Bytes>>>>;

#[derive(Clone)]
struct Link {
    frames: mpsc::Sender<(u64, BytesMut)>,
    pending: Pending,
    next: Arc<AtomicU64>,
    heard: Arc<Heard>,
    close: CancellationToken,
}

/// When a connection was last heard of.
struct Heard {
    opened: Instant,
    micros: AtomicU64,
}

impl Heard {
    fn now(&self) {
        let micros = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.micros.store(micros, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        let heard = Duration::from_micros(self.micros.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(heard)
    }
}

impl Caller {
    pub fn new(target: Target, traffic: SharedTraffic) -> Caller {
        Caller(Arc::new(Inner {
            target,
            traffic,
            link: AsyncMutex::new(None),
        }))
    }

    pub fn target(&self) -> &Target {
        &self.0.target
    }

    pub fn traffic(&self) -> &SharedTraffic {
        &self.0.traffic
    }

    /// Asks and decodes the answer. `Unreachable` says that nothing was sent; after any other
    /// error the question may have been acted on.
    pub async fn call<A: prost::Message + Default>(
        &self,
        kind: Kind,
        question: &impl prost::Message,
        limit: Duration,
    ) -> Result<A, PeerError> {
        let member = self.0.target.to;
        let started = Instant::now();
        let result = match timeout(limit, self.exchange(kind, question)).await {
            Ok(result) => result,
            Err(_) => {
                self.drop_silent_link();
                Err(PeerError::Timeout { member })
            }
        };
        match result {
            Ok(bytes) => {
                self.0.traffic.round_trip(started.elapsed());
                A::decode(bytes).map_err(|source| PeerError::Decode { member, source })
            }
            Err(error) => {
                self.0.traffic.failed();
                Err(error)
            }
        }
    }

    async fn exchange(
        &self,
        kind: Kind,
        question: &impl prost::Message,
    ) -> Result<Bytes, PeerError> {
        let lost = || PeerError::Lost {
            member: self.0.target.to,
        };
        let link = self.link().await?;
        let id = link.next.fetch_add(1, Ordering::Relaxed);
        let mut frame = BytesMut::new();
        put_frame(&mut frame, kind, id, question);
        let (answer, answered) = oneshot::channel();
        link.pending.lock().insert(id, answer);
        // A caller that gives up leaves no entry behind.
        let _forget = Forget {
            pending: &link.pending,
            id,
        };
        if link.frames.send((id, frame)).await.is_err() {
            return Err(lost());
        }
        answered.await.map_err(|_| lost())
    }

    fn drop_silent_link(&self) {
        // While somebody dials there is no link to drop.
        if let Ok(mut link) = self.0.link.try_lock()
            && let Some(open) = link.take_if(|open| open.heard.silence() > SILENCE_MAX)
        {
            open.close.cancel();
        }
    }

    async fn link(&self) -> Result<Link, PeerError> {
        let mut link = self.0.link.lock().await;
        if let Some(open) = link.as_ref()
            && !open.frames.is_closed()
        {
            return Ok(open.clone());
        }
        let connection = dial(&self.0.target, Lane::Control).await?;
        let opened = open(connection, self.0.traffic.clone());
        *link = Some(opened.clone());
        Ok(opened)
    }
}

struct Forget<'a> {
    pending: &'a Pending,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.pending.lock().remove(&self.id);
    }
}

fn open(connection: Connection, traffic: SharedTraffic) -> Link {
    let (frames, queue) = mpsc::channel(QUEUE_FRAMES_MAX);
    let pending = Pending::default();
    let link = Link {
        frames,
        pending: pending.clone(),
        next: Arc::default(),
        heard: Arc::new(Heard {
            opened: Instant::now(),
            micros: AtomicU64::new(0),
        }),
        close: CancellationToken::new(),
    };
    let Connection { reader, writer } = connection;
    let read = read_answers(reader, pending.clone(), traffic.clone(), link.heard.clone());
    let write = write_questions(writer, queue, traffic);
    // One task owns both halves, so that the loss of either ends the link and fails who waits.
    let close = link.close.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = read => {}
            () = write => {}
            () = close.cancelled() => {}
        }
        pending.lock().clear();
    });
    link
}

async fn read_answers<R: tokio::io::AsyncRead + Unpin>(
    mut reader: R,
    pending: Pending,
    traffic: SharedTraffic,
    heard: Arc<Heard>,
) {
    while let Ok(Some(frame)) = read_frame(&mut reader).await {
        heard.now();
        traffic.received(frame.payload.len());
        if let Some(waiter) = pending.lock().remove(&frame.id) {
            let _ = waiter.send(frame.payload);
        }
    }
}

async fn write_questions<W: tokio::io::AsyncWrite + Unpin>(
    mut writer: W,
    mut queue: mpsc::Receiver<(u64, BytesMut)>,
    traffic: SharedTraffic,
) {
    let mut batch = Vec::new();
    loop {
        if queue.recv_many(&mut batch, WRITE_BATCH_FRAMES).await == 0 {
            return;
        }
        let mut frames = batch.drain(..);
        let Some((_, mut out)) = frames.next() else {
            continue;
        };
        for (_, frame) in frames {
            out.extend_from_slice(&frame);
        }
        traffic.sent(out.len());
        if send(&mut writer, &out).await.is_err() {
            return;
        }
    }
}
