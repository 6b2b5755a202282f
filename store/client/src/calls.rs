//! How a call finds a member that answers it: one endpoint after another, a new token when the old
//! one is no longer taken, until its deadline. A write is sent again only if it was not taken.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_transport::bottom;
use tokio::time::Instant;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tracing::Instrument;

use crate::backoff::Backoff;
use crate::error::Error;
use crate::token::{Token, Tokens};
use crate::verdict::Verdict;

/// Between two tries of a call that no member took.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MOST: Duration = Duration::from_millis(500);
/// A read leaves a member that says nothing after its share of the deadline, but not sooner.
const SHARE_LEAST: Duration = Duration::from_secs(1);

/// A connection to one member and what is shown on it.
pub(crate) type Line = InterceptedService<Channel, Shown>;

/// Shows the token of a user; and to a member that has lost its leader, on streams, that the caller
/// would rather go to another (etcd's `hasleader`).
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) token: Token,
    needs_leader: bool,
}

impl Interceptor for Shown {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        if let Some(token) = &self.token.value {
            metadata.insert("token", token.clone());
        }
        if self.needs_leader {
            metadata.insert("hasleader", MetadataValue::from_static("true"));
        }
        Ok(request)
    }
}

impl std::fmt::Debug for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chosen")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// What may be done with a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes nothing: it may be sent as often as it takes.
    Read,
    /// May be sent again only if it was not taken.
    Write,
}

/// The members of a cluster, and which of them is asked now.
pub(crate) struct Calls {
    channels: Vec<Channel>,
    at: AtomicUsize,
    tokens: Tokens,
}

/// A member chosen for one try.
pub(crate) struct Chosen {
    at: usize,
    pub(crate) line: Line,
    pub(crate) token: Token,
}

impl Calls {
    /// `channels` holds one at least.
    pub(crate) fn new(channels: Vec<Channel>, tokens: Tokens) -> Arc<Calls> {
        // Clients that are configured alike shall not all go to the first.
        let at = AtomicUsize::new(rand::random_range(0..channels.len().max(1)));
        Arc::new(Calls {
            channels,
            at,
            tokens,
        })
    }

    /// The member to ask now, with the token to show it.
    pub(crate) async fn choose(&self, needs_leader: bool) -> Result<Chosen, (usize, Status)> {
        let at = self.at.load(Ordering::Relaxed);
        let Some(channel) = self.channels.get(at % self.channels.len().max(1)) else {
            return Err((at, Status::internal("there is no endpoint")));
        };
        let token = self.tokens.get(channel).await;
        let token = token.map_err(|status| (at, status))?;
        let shown = Shown {
            token: token.clone(),
            needs_leader,
        };
        let line = InterceptedService::new(channel.clone(), shown);
        Ok(Chosen { at, line, token })
    }

    /// Asks another member from now on, if `at` is still the one that is asked.
    pub(crate) fn leave(&self, at: usize) {
        let next = at.wrapping_add(1);
        let _ = self
            .at
            .compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// What is to be done after a stream to `chosen` has ended: another token if the old one was not
    /// taken and another can be had, otherwise another member.
    pub(crate) async fn part(&self, chosen: &Chosen, stale: bool) {
        if !(stale && self.renew(&chosen.token).await) {
            self.leave_chosen(chosen);
        }
    }

    pub(crate) fn leave_chosen(&self, chosen: &Chosen) {
        self.leave(chosen.at);
    }

    /// The token was not taken; false if another cannot be had.
    pub(crate) async fn renew(&self, token: &Token) -> bool {
        self.tokens.forget(token).await
    }

    /// Asks until there is an answer, for `within` at most.
    pub(crate) async fn ask<R, A, F>(
        &self,
        call: &'static str,
        kind: Kind,
        within: Duration,
        ask: A,
    ) -> Result<R, Error>
    where
        A: Fn(Line) -> F,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut trial = Trial {
            call,
            kind,
            within,
            deadline: Instant::now() + within,
            renewed: false,
            last: "it was not asked yet".to_owned(),
        };
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        loop {
            match self.once(&mut trial, &ask).await {
                Ok(answer) => return Ok(answer),
                Err(Next::Over(error)) => return Err(error),
                Err(Next::Again) => {}
                Err(Next::Elsewhere(at)) => {
                    self.leave(at);
                    let wait = backoff.next();
                    if Instant::now() + wait >= trial.deadline {
                        return Err(trial.out_of_time());
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    async fn once<R, A, F>(&self, trial: &mut Trial, ask: &A) -> Result<R, Next>
    where
        A: Fn(Line) -> F,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let chosen = tokio::time::timeout_at(trial.deadline, self.choose(false)).await;
        let chosen = match chosen {
            Ok(Ok(chosen)) => chosen,
            // A log-in changes nothing that the call is about.
            Ok(Err((at, status))) => return Err(trial.judge_login(at, &status)),
            Err(_) => return Err(Next::Over(trial.out_of_time())),
        };
        let until = trial.patience(self.channels.len());
        let span = tracing::debug_span!("call", call = trial.call, member = chosen.at);
        let asked = ask(chosen.line).instrument(span);
        match tokio::time::timeout_at(until, asked).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => match Verdict::of(&status) {
                Verdict::TokenStale if !trial.renewed && self.renew(&chosen.token).await => {
                    trial.renewed = true;
                    Err(Next::Again)
                }
                verdict => Err(trial.judge(chosen.at, verdict, &status)),
            },
            Err(_) => Err(trial.silence(chosen.at)),
        }
    }
}

/// One call and what has come of it so far.
struct Trial {
    call: &'static str,
    kind: Kind,
    within: Duration,
    deadline: Instant,
    renewed: bool,
    last: String,
}

/// What follows from a try that brought no answer.
enum Next {
    Again,
    /// Another member than this one.
    Elsewhere(usize),
    Over(Error),
}

impl Trial {
    /// How long this try may take. A write has nobody else to go to once it is sent.
    fn patience(&self, members: usize) -> Instant {
        let members = u32::try_from(members.max(1)).unwrap_or(u32::MAX);
        match self.kind {
            Kind::Write => self.deadline,
            Kind::Read => {
                let share = (self.within / members).max(SHARE_LEAST);
                self.deadline.min(Instant::now() + share)
            }
        }
    }

    fn judge(&mut self, at: usize, verdict: Verdict, status: &Status) -> Next {
        self.last = told(status);
        match (verdict, self.kind) {
            (Verdict::Refused | Verdict::TokenStale, _) => Next::Over(refused(self.call, status)),
            (Verdict::NotTaken, _) | (Verdict::Unknown, Kind::Read) => Next::Elsewhere(at),
            (Verdict::Unknown, Kind::Write) => Next::Over(Error::OutcomeUnknown {
                call: self.call,
                reason: self.last.clone(),
            }),
        }
    }

    fn judge_login(&mut self, at: usize, status: &Status) -> Next {
        self.last = told(status);
        match Verdict::of(status) {
            Verdict::Refused | Verdict::TokenStale => Next::Over(refused("Authenticate", status)),
            Verdict::NotTaken | Verdict::Unknown => Next::Elsewhere(at),
        }
    }

    fn silence(&mut self, at: usize) -> Next {
        self.last = "the member says nothing".to_owned();
        match self.kind {
            Kind::Read if Instant::now() < self.deadline => Next::Elsewhere(at),
            Kind::Read => Next::Over(self.out_of_time()),
            Kind::Write => Next::Over(Error::OutcomeUnknown {
                call: self.call,
                reason: format!("no answer within {:?}", self.within),
            }),
        }
    }

    /// The deadline came before anybody took the call.
    fn out_of_time(&self) -> Error {
        match self.kind {
            Kind::Read => Error::Deadline {
                call: self.call,
                within: self.within,
                reason: self.last.clone(),
            },
            Kind::Write => Error::Unreachable {
                call: self.call,
                reason: self.last.clone(),
            },
        }
    }
}

/// A refusal as the caller sees it.
pub(crate) fn refused(call: &'static str, status: &Status) -> Error {
    Error::Refused {
        call,
        code: status.code(),
        message: status.message().to_owned(),
    }
}

/// A status in words: of one that the connection made, the reason at its bottom.
pub(crate) fn told(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => bottom(source),
        None => status.message().to_owned(),
    }
}
