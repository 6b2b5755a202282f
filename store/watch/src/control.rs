//! The requests of a watch stream.

use std::fmt;

use mainstay_proto::etcdserverpb::WatchCreateRequest;
use tokio::sync::mpsc;

/// Requests that wait for the stream to be pulled. Beyond that whoever reads them from the network
/// waits too, so that a client that sends and does not receive is slowed down (as etcd does).
pub(crate) const REQUESTS_MAX: usize = 64;

/// The stream is gone: its client hung up, or the hub was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the watch stream has ended")]
pub struct StreamEnded;

/// The requests' side of a stream. Dropping it is the client's half close: events go on.
#[derive(Debug, Clone)]
pub struct Control(mpsc::Sender<Request>);

#[derive(Debug)]
pub(crate) enum Request {
    Create(WatchCreateRequest, Companion),
    Cancel(i64),
    Progress,
    Refuse(String),
    Review(Review),
}

/// Something of the caller's that lives as long as its watch, a span of a trace for one.
pub(crate) struct Companion(
    #[expect(dead_code, reason = "only ever dropped")] Box<dyn Send + Sync>,
);

impl fmt::Debug for Companion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Companion")
    }
}

/// Whether a watch of this key and range end may go on.
pub(crate) type Allowed = Box<dyn Fn(&[u8], &[u8]) -> bool + Send>;

/// Which watches of a stream may go on.
pub(crate) struct Review {
    pub allowed: Allowed,
    pub reason: String,
}

impl fmt::Debug for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Review")
    }
}

impl Control {
    pub(crate) fn new() -> (Control, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
        (Control(sender), receiver)
    }

    /// Answered by a `created` response, in the order of requests.
    pub async fn create(&self, request: WatchCreateRequest) -> Result<(), StreamEnded> {
        self.create_with(request, Box::new(())).await
    }

    /// The same, and drops the companion when the watch ends, or if it cannot begin.
    pub async fn create_with(
        &self,
        request: WatchCreateRequest,
        companion: Box<dyn Send + Sync>,
    ) -> Result<(), StreamEnded> {
        let companion = Companion(companion);
        self.send(Request::Create(request, companion)).await
    }

    /// Answered by a `canceled` response if there is such a watch, else not at all.
    pub async fn cancel(&self, watch_id: i64) -> Result<(), StreamEnded> {
        self.send(Request::Cancel(watch_id)).await
    }

    /// Answered with watch id -1 if there is a watch and all of them are at the current revision,
    /// behind every event up to that revision; else not at all, and the client asks again.
    pub async fn progress(&self) -> Result<(), StreamEnded> {
        self.send(Request::Progress).await
    }

    /// Answers a create request that may not be carried out: created and canceled at once, with
    /// watch id -1 and this reason.
    pub async fn refuse(&self, reason: String) -> Result<(), StreamEnded> {
        self.send(Request::Refuse(reason)).await
    }

    /// Ends every watch of the stream that is not allowed any more, each by a `canceled` response
    /// with this reason. `allowed` is asked with a key and a range end, as a create request has
    /// them.
    pub async fn review(
        &self,
        allowed: impl Fn(&[u8], &[u8]) -> bool + Send + 'static,
        reason: String,
    ) -> Result<(), StreamEnded> {
        let allowed = Box::new(allowed);
        self.send(Request::Review(Review { allowed, reason })).await
    }

    async fn send(&self, request: Request) -> Result<(), StreamEnded> {
        self.0.send(request).await.map_err(|_| StreamEnded)
    }
}
