use std::fmt;
use std::time::Duration;

use anyhow::Result;
use mainstay_proto::etcdserverpb::{self as pb, watch_request::RequestUnion};

use crate::cluster::Cluster;
use crate::outcome::{Outcome, excerpt};
use crate::perform::perform;
use crate::request::{Op, Request};
use crate::stream::{Log, Stream};
use crate::target::Target;
use crate::world::World;

/// How long an event or a response of a watch stream may take.
const EVENT_WAIT: Duration = Duration::from_secs(15);
/// How long to look for a response that must not come.
const SILENCE: Duration = Duration::from_millis(150);
/// etcd moves watchers that began in the past to the present every 100 ms. Where a progress
/// response cannot tell that it has, this is waited instead.
const CATCH_UP: Duration = Duration::from_millis(500);
/// etcd leaves a progress request unanswered while a watcher catches up, so clients ask again.
const PROGRESS_AGAIN: Duration = Duration::from_millis(300);
const PROGRESS_ASKS: usize = 30;

/// Both servers under the same requests. Stream 0 of each side is the witness: it watches every
/// key from the first revision and so holds the whole history.
#[derive(Debug)]
pub struct Pair {
    pub sides: [Side; 2],
    pub world: World,
}

/// One server: connections and watch streams.
#[derive(Debug)]
pub struct Side {
    pub target: Target,
    streams: Vec<Stream>,
}

/// The first thing in which the two servers differ.
#[derive(Debug)]
pub struct Difference {
    pub what: String,
    pub reference: String,
    pub subject: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  difference: {}", self.what)?;
        writeln!(
            f,
            "  reference:  {}",
            excerpt(&self.reference, &self.subject)
        )?;
        write!(
            f,
            "  subject:    {}",
            excerpt(&self.subject, &self.reference)
        )
    }
}

impl Difference {
    fn new(what: impl Into<String>, reference: String, subject: String) -> Self {
        Self {
            what: what.into(),
            reference,
            subject,
        }
    }
}

impl Side {
    async fn open(cluster: &Cluster, streams: usize) -> Result<Self> {
        let target = Target::open(cluster).await?;
        let mut side = Self {
            target,
            streams: Vec::new(),
        };
        for at in 0..=streams {
            let stream = Stream::open(side.target.at(at), side.target.ids.clone());
            side.streams.push(stream);
        }
        Ok(side)
    }

    async fn watch(&self, stream: usize, arm: Option<RequestUnion>) {
        self.streams[stream]
            .send(pb::WatchRequest { request_union: arm })
            .await;
    }

    /// The next control response of a stream; answers to earlier progress requests are passed over.
    async fn control(&self, stream: usize) -> Option<pb::WatchResponse> {
        let mut found = None;
        let look = |log: &mut Log| {
            while log.controls.front().is_some_and(is_progress) {
                log.controls.pop_front();
            }
            found = log.controls.pop_front();
            found.is_some() || log.ended.is_some()
        };
        self.streams[stream].until(EVENT_WAIT, look).await;
        found.map(|response| self.tidy(response))
    }

    async fn progress(
        &self,
        stream: usize,
        expected: bool,
        revision: i64,
    ) -> Option<pb::WatchResponse> {
        let asks = if expected { PROGRESS_ASKS } else { 1 };
        let wait = if expected { PROGRESS_AGAIN } else { SILENCE };
        self.streams[stream].with(|log| log.controls.clear());
        for _ in 0..asks {
            let ask = RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
            self.watch(stream, Some(ask)).await;
            let mut found = None;
            // An answer to an earlier request may come late; it tells an older revision.
            let look = |log: &mut Log| {
                let late = |one: &pb::WatchResponse| {
                    one.header
                        .as_ref()
                        .is_some_and(|header| header.revision < revision)
                };
                while log
                    .controls
                    .front()
                    .is_some_and(|one| is_progress(one) && late(one))
                {
                    log.controls.pop_front();
                }
                found = log.controls.pop_front();
                found.is_some()
            };
            self.streams[stream].until(wait, look).await;
            if let Some(found) = found {
                return Some(self.tidy(found));
            }
        }
        None
    }

    /// Takes the control responses that have come so far.
    pub fn drain(&self, stream: usize) -> Vec<pb::WatchResponse> {
        self.streams[stream].with(|log| log.controls.drain(..).collect())
    }

    fn tidy(&self, mut response: pb::WatchResponse) -> pb::WatchResponse {
        let ids = self.target.ids.lock();
        if let Some(header) = &mut response.header {
            header.cluster_id = u64::from(header.cluster_id == ids.cluster);
            header.member_id = ids.member(header.member_id);
            header.raft_term = header.raft_term.min(1);
        }
        response.cancel_reason = ids.text(&response.cancel_reason);
        response
    }
}

fn is_progress(response: &pb::WatchResponse) -> bool {
    !response.created && !response.canceled && response.events.is_empty()
}

impl Pair {
    /// Connects to both clusters, which must be of one size and without data.
    pub async fn open(reference: &Cluster, subject: &Cluster, streams: usize) -> Result<Self> {
        let sides = [
            Side::open(reference, streams).await?,
            Side::open(subject, streams).await?,
        ];
        let mut pair = Self {
            sides,
            world: World::new(reference.peers.len()),
        };
        let create = pb::WatchCreateRequest {
            key: "\0".into(),
            range_end: "\0".into(),
            start_revision: 1,
            prev_kv: true,
            ..pb::WatchCreateRequest::default()
        };
        let witness = pair.create(0, &create).await;
        witness.map_err(|difference| anyhow::anyhow!("witness stream:\n{difference}"))?;
        Ok(pair)
    }

    /// Sends one request to both servers; the answer of the reference, or how they differ.
    pub async fn run(&mut self, op: &Op) -> Result<Outcome, Difference> {
        match &op.request {
            Request::WatchCreate { stream, create } => {
                self.barrier(*stream).await;
                self.create(*stream, create).await
            }
            Request::WatchCancel { stream, id } => self.cancel(*stream, *id).await,
            Request::WatchProgress { stream } => self.progress(*stream).await,
            Request::WatchUnset { stream } => {
                for side in &self.sides {
                    side.watch(*stream, None).await;
                }
                Ok(Outcome::plain("sent"))
            }
            _ => self.unary(op).await,
        }
    }

    async fn unary(&mut self, op: &Op) -> Result<Outcome, Difference> {
        // Whether a watcher that still catches up survives a compaction is a matter of timing.
        if matches!(op.request, Request::Compact(_)) {
            self.catch_up().await?;
        }
        if op.request.is_local() {
            self.barrier(op.member).await;
        }
        let [reference, subject] = &self.sides;
        let (expected, got) =
            tokio::join!(perform(&reference.target, op), perform(&subject.target, op));
        self.world.note(op, &expected);
        if !expected.equals(&got) {
            let text = |outcome: &Outcome| match outcome.clocks.is_empty() {
                true => outcome.text.clone(),
                false => format!("{} clocks {:?}", outcome.text, outcome.clocks),
            };
            return Err(Difference::new("answer", text(&expected), text(&got)));
        }
        Ok(expected)
    }

    async fn barrier(&self, member: usize) {
        if self.world.size > 1 {
            for side in &self.sides {
                side.target.barrier(member).await;
            }
        }
    }

    async fn create(
        &mut self,
        stream: usize,
        create: &pb::WatchCreateRequest,
    ) -> Result<Outcome, Difference> {
        for side in &self.sides {
            side.watch(stream, Some(RequestUnion::CreateRequest(create.clone())))
                .await;
        }
        let answer = self.control(stream, "created response").await?;
        self.world.created(stream, create, &answer);
        let mut outcome = Outcome::plain(format!("{answer:?}"));
        if answer.canceled {
            outcome.error = Some((tonic::Code::Ok, answer.cancel_reason));
        } else if create.start_revision > 0 && create.start_revision < self.world.compacted {
            let cancel = self.control(stream, "cancel by compaction").await?;
            outcome.text.push_str(&format!(" then {cancel:?}"));
            self.world.watchers.pop();
            self.world.tainted.insert(stream);
        }
        Ok(outcome)
    }

    async fn cancel(&mut self, stream: usize, id: i64) -> Result<Outcome, Difference> {
        self.settle().await?;
        self.barrier(stream).await;
        for side in &self.sides {
            let cancel = RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: id });
            side.watch(stream, Some(cancel)).await;
        }
        if self.world.watcher(stream, id).is_none() {
            return Ok(Outcome::plain("nothing to cancel"));
        }
        let answer = self.control(stream, "cancelled response").await?;
        self.world
            .watchers
            .retain(|known| known.stream != stream || known.id != id);
        for side in &self.sides {
            side.streams[stream].with(|log| log.events.remove(&id));
        }
        Ok(Outcome::plain(format!("{answer:?}")))
    }

    async fn progress(&mut self, stream: usize) -> Result<Outcome, Difference> {
        self.settle().await?;
        self.barrier(stream).await;
        let (expected, revision) = (self.world.answers_progress(stream), self.world.revision);
        let [reference, subject] = &self.sides;
        let (a, b) = tokio::join!(
            reference.progress(stream, expected, revision),
            subject.progress(stream, expected, revision)
        );
        let (a, b) = (format!("{a:?}"), format!("{b:?}"));
        if a != b {
            return Err(Difference::new("progress response", a, b));
        }
        Ok(Outcome::plain(a))
    }

    async fn control(
        &mut self,
        stream: usize,
        what: &str,
    ) -> Result<pb::WatchResponse, Difference> {
        let [reference, subject] = &self.sides;
        let (a, b) = tokio::join!(reference.control(stream), subject.control(stream));
        match (a, b) {
            (Some(a), Some(b)) if a == b => Ok(a),
            (a, b) => Err(Difference::new(
                format!("{what} on stream {stream}"),
                format!("{a:?}"),
                format!("{b:?}"),
            )),
        }
    }

    /// Waits until no watcher is behind, also those that have no event to wait for.
    async fn catch_up(&mut self) -> Result<(), Difference> {
        self.settle().await?;
        let mut behind: Vec<usize> = Vec::new();
        for watcher in self
            .world
            .watchers
            .iter_mut()
            .filter(|watcher| watcher.behind)
        {
            behind.push(watcher.stream);
            watcher.behind = false;
        }
        behind.dedup();
        for stream in behind {
            if self.world.answers_progress(stream) {
                self.progress(stream).await?;
            } else {
                tokio::time::sleep(CATCH_UP).await;
            }
        }
        Ok(())
    }

    /// Waits until every watcher of both servers has every event it must get by now, and compares
    /// them. Which events those are follows from the history that the witness saw.
    pub async fn settle(&mut self) -> Result<(), Difference> {
        let revision = self.world.revision;
        for side in &self.sides {
            let complete = |log: &mut Log| {
                let newest = log.events.get(&0).and_then(|all| all.last());
                newest.map_or(1, |seen| seen.revision) >= revision || log.ended.is_some()
            };
            side.streams[0].until(EVENT_WAIT, complete).await;
        }
        let history =
            self.sides[0].streams[0].with(|log| log.events.get(&0).cloned().unwrap_or_default());
        for watcher in &self.world.watchers {
            let count = history
                .iter()
                .filter(|seen| watcher.gets(&seen.event))
                .count();
            let mut logs = Vec::new();
            for side in &self.sides {
                let stream = &side.streams[watcher.stream];
                let arrived = |log: &mut Log| {
                    log.events.get(&watcher.id).map_or(0, Vec::len) >= count || log.ended.is_some()
                };
                stream.until(EVENT_WAIT, arrived).await;
                logs.push(stream.with(|log| {
                    let events = log.events.get(&watcher.id).cloned().unwrap_or_default();
                    (
                        events,
                        log.ended.clone(),
                        std::mem::take(&mut log.violations),
                    )
                }));
            }
            let subject = logs.pop().unwrap_or_default();
            let reference = logs.pop().unwrap_or_default();
            if reference != subject || reference.0.len() != count || !subject.2.is_empty() {
                let at = reference
                    .0
                    .iter()
                    .zip(&subject.0)
                    .take_while(|(a, b)| a == b)
                    .count();
                let what = format!(
                    "events of watch {} on stream {}, from event {at} of {count} expected \
                     ({} and {} came)",
                    watcher.id,
                    watcher.stream,
                    reference.0.len(),
                    subject.0.len()
                );
                let show = |(events, ended, violations): &(Vec<_>, Option<String>, Vec<String>)| {
                    format!("ended {ended:?} broken {violations:?} {:?}", &events[at..])
                };
                return Err(Difference::new(what, show(&reference), show(&subject)));
            }
        }
        Ok(())
    }

    /// Ends the comparison of events: a script has made the two histories differ on purpose.
    pub async fn forget_history(&mut self, wait: Duration) {
        tokio::time::sleep(wait).await;
        self.world.watchers.clear();
        self.world.revision = 1;
    }

    /// Settles, gives events that must not come a moment to come, and looks again.
    pub async fn finish(&mut self) -> Result<(), Difference> {
        self.settle().await?;
        tokio::time::sleep(SILENCE).await;
        self.settle().await
    }
}
