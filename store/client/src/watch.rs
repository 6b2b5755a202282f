//! Watches that go on where they were cut off: over connections that end and members that die, no
//! event is lost and none comes twice.
//!
//! A watch knows the revision it has seen all of. When its stream ends it asks another member for
//! what came after. What a member assures by a progress notice moves that revision on, so that a
//! watch of keys that seldom change survives a compaction.
//!
//! ```no_run
#![doc = include_str!("../examples/watch.rs")]
//! ```

mod open;
mod parts;

use std::future::IntoFuture;

use futures::FutureExt;
use futures::future::BoxFuture;
use mainstay_proto::etcdserverpb::WatchCreateRequest;
use mainstay_proto::etcdserverpb::watch_create_request::FilterType;
use mainstay_proto::mvccpb::Event;
use tokio::time::Instant;
use tonic::Code;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::Error;
use crate::keys::Keys;
use open::{RETRY_FIRST, RETRY_MOST, Stream, Unopened};
use parts::Part;

/// A watch that is put together field by field and begun by `.await`.
#[must_use = "a watch is begun by .await"]
#[derive(Clone, Debug)]
pub struct Watching {
    client: Client,
    keys: Keys,
    request: WatchCreateRequest,
}

/// What a watch has to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// All that one or more revisions did to the keys, in their order, never a part of a revision.
    Events {
        /// Everything up to here has been told.
        revision: i64,
        events: Vec<Event>,
    },
    /// Nothing has happened to the keys up to this revision beyond what was told.
    Progress { revision: i64 },
}

/// A watch under way. [`Watch::next`] may be dropped while it waits, and nothing is lost.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    request: WatchCreateRequest,
    /// The first revision that has not been told.
    next: i64,
    stream: Option<Stream>,
    backoff: Backoff,
    over: bool,
}

impl Watching {
    pub(crate) fn new(client: Client, key: &[u8]) -> Watching {
        Watching {
            client,
            keys: Keys::one(key),
            request: WatchCreateRequest {
                progress_notify: true,
                // A revision may be larger than a message; it is put together again here.
                fragment: true,
                ..WatchCreateRequest::default()
            },
        }
    }

    /// All keys that begin with the key; with an empty one all there are.
    pub fn prefix(mut self) -> Watching {
        self.keys = self.keys.with_prefix();
        self
    }

    /// The key and all after it that come before `end`.
    pub fn until(mut self, end: impl AsRef<[u8]>) -> Watching {
        self.keys = self.keys.until(end.as_ref());
        self
    }

    /// Beginning with what this revision did: to go on after a read, that of the read and one.
    pub fn from_revision(mut self, revision: i64) -> Watching {
        self.request.start_revision = revision;
        self
    }

    /// With what was there before each event.
    pub fn with_previous(mut self) -> Watching {
        self.request.prev_kv = true;
        self
    }

    /// Deletes only.
    pub fn without_puts(mut self) -> Watching {
        self.request.filters.push(FilterType::Noput.into());
        self
    }

    /// Puts only.
    pub fn without_deletes(mut self) -> Watching {
        self.request.filters.push(FilterType::Nodelete.into());
        self
    }

    async fn begin(self) -> Result<Watch, Error> {
        let keys = self.client.namespace().keys(&self.keys);
        let mut watch = Watch {
            request: WatchCreateRequest {
                key: keys.key,
                range_end: keys.end,
                ..self.request
            },
            next: self.request.start_revision.max(0),
            client: self.client,
            stream: None,
            backoff: Backoff::new(RETRY_FIRST, RETRY_MOST),
            over: false,
        };
        let deadline = Instant::now() + watch.client.deadline();
        let mut last = "no member was asked yet".to_owned();
        while watch.stream.is_none() {
            let opened = tokio::time::timeout_at(deadline, watch.reopen(&mut last)).await;
            match opened {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    return Err(Error::Deadline {
                        call: "Watch",
                        within: watch.client.deadline(),
                        reason: last,
                    });
                }
            }
        }
        Ok(watch)
    }
}

impl IntoFuture for Watching {
    type Output = Result<Watch, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.begin().boxed()
    }
}

impl Watch {
    /// The first revision that has not been told: where a new watch would go on.
    pub fn next_revision(&self) -> i64 {
        self.next
    }

    /// What happened next. It waits as long as it takes, whatever happens to connections.
    ///
    /// # Errors
    /// After one there is nothing more to come.
    /// - [`Error::Compacted`]: what came after the last event told is gone. Read the keys, and
    ///   watch from the revision of the answer and one.
    /// - [`Error::Refused`]: the user may not watch these keys, or not any longer.
    pub async fn next(&mut self) -> Option<Result<Seen, Error>> {
        if self.over {
            return None;
        }
        match self.seen().await {
            Ok(seen) => Some(Ok(seen)),
            Err(error) => {
                self.over = true;
                self.stream = None;
                Some(Err(error))
            }
        }
    }

    async fn seen(&mut self) -> Result<Seen, Error> {
        let mut last = String::new();
        loop {
            let Some(stream) = &mut self.stream else {
                self.reopen(&mut last).await?;
                continue;
            };
            match stream.parts.next().await {
                Part::Events { events } => {
                    if let Some(seen) = self.take(events) {
                        return Ok(seen);
                    }
                }
                Part::Progress { revision } if revision >= self.next => {
                    self.next = revision + 1;
                    self.backoff.reset();
                    return Ok(Seen::Progress { revision });
                }
                Part::Progress { .. } => {}
                Part::Compacted { revision } => return Err(Error::Compacted { revision }),
                Part::Refused { code, message } => return Err(refused(code, message)),
                Part::Ended { reason } => self.part(&reason, false).await,
                Part::TokenStale { reason } => self.part(&reason, true).await,
            }
        }
    }

    /// What of it has not been told; members may repeat themselves to who asks for the future.
    fn take(&mut self, events: Vec<Event>) -> Option<Seen> {
        let next = self.next;
        let new = |event: &Event| event.kv.as_ref().is_some_and(|kv| kv.mod_revision >= next);
        let events: Vec<Event> = events.into_iter().filter(new).collect();
        let newest = events.iter().filter_map(|event| event.kv.as_ref());
        let newest = newest.map(|kv| kv.mod_revision).max()?;
        // Not that of the header: the member's newest may be beyond what is told here.
        self.next = newest + 1;
        self.backoff.reset();
        let namespace = self.client.namespace();
        let strip = |mut event: Event| {
            event.kv = event.kv.map(|kv| namespace.strip_of(kv));
            event.prev_kv = event.prev_kv.map(|kv| namespace.strip_of(kv));
            event
        };
        Some(Seen::Events {
            revision: newest,
            events: events.into_iter().map(strip).collect(),
        })
    }

    /// The stream is of no use any longer; the next goes to another member, or shows another token.
    async fn part(&mut self, reason: &str, stale: bool) {
        let Some(stream) = self.stream.take() else {
            return;
        };
        tracing::debug!(reason, next = self.next, "watch goes on elsewhere");
        self.client.calls().part(&stream.chosen, stale).await;
        tokio::time::sleep(self.backoff.next()).await;
    }

    /// One try to go on; a failure that may pass waits and leaves its reason.
    async fn reopen(&mut self, last: &mut String) -> Result<(), Error> {
        let request = WatchCreateRequest {
            start_revision: self.next,
            ..self.request.clone()
        };
        match Stream::open(self.client.calls(), request).await {
            Ok(stream) => {
                if self.next == 0 {
                    self.next = stream.revision + 1;
                }
                self.stream = Some(stream);
                Ok(())
            }
            Err(Unopened::Over(error)) => Err(error),
            Err(Unopened::ForNow(reason)) => {
                *last = reason;
                tokio::time::sleep(self.backoff.next()).await;
                Ok(())
            }
        }
    }
}

pub(crate) fn refused(code: Code, message: String) -> Error {
    Error::Refused {
        call: "Watch",
        code,
        message,
    }
}
