//! Leases that are kept alive, and that say so when they are lost.
//!
//! Whoever holds a lease may count on it until its time to live has passed since the last renewal
//! *was sent*: the member counts from later. When that moment comes without an answer the lease is
//! called lost, whatever the cluster thinks of it.
//!
//! ```no_run
#![doc = include_str!("../examples/lease.rs")]
//! ```

use std::time::Duration;

use mainstay_proto::etcdserverpb::lease_client::LeaseClient;
use mainstay_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest,
    LeaseTimeToLiveRequest,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::backoff::Backoff;
use crate::calls::{Chosen, Kind, told};
use crate::client::Client;
use crate::error::Error;
use crate::verdict::Verdict;

/// Between two tries to renew where no member answers.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(1);
/// A lease is renewed so often within its time to live, so that two renewals may fail.
const RENEWALS: u32 = 3;

/// A lease that is renewed by a task of its own. When the handle is dropped it is renewed no longer
/// and ends by itself; [`Lease::revoke`] ends it at once.
#[derive(Debug)]
pub struct Lease {
    client: Client,
    id: i64,
    ttl: Duration,
    lost: watch::Receiver<Option<String>>,
    renewing: JoinHandle<()>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Lease {
    pub(crate) async fn grant(client: &Client, ttl: Duration) -> Result<Lease, Error> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1);
        // The id is chosen here, so that a grant whose answer is lost may be sent again.
        let id = rand::random_range(1..i64::MAX);
        let request = LeaseGrantRequest { ttl: seconds, id };
        let asked = Instant::now();
        let ask = |line| async move { LeaseClient::new(line).lease_grant(request).await };
        let calls = client.calls();
        let within = client.deadline();
        let granted = calls.ask("LeaseGrant", Kind::Write, within, ask).await?;
        let ttl = seconds_of(granted.ttl);
        Ok(Lease::keep(client, id, ttl, asked + ttl))
    }

    /// Goes on with a lease that another has granted.
    pub(crate) async fn adopt(client: &Client, id: i64) -> Result<Lease, Error> {
        let request = LeaseTimeToLiveRequest { id, keys: false };
        let ask = |line| async move { LeaseClient::new(line).lease_time_to_live(request).await };
        let (calls, within) = (client.calls(), client.deadline());
        let asked = Instant::now();
        let found = calls
            .ask("LeaseTimeToLive", Kind::Read, within, ask)
            .await?;
        if found.ttl <= 0 {
            return Err(Error::LeaseLost {
                id,
                reason: "it has expired or was revoked".to_owned(),
            });
        }
        // Until it is renewed it lives only as long as is left of it.
        let left = seconds_of(found.ttl);
        Ok(Lease::keep(
            client,
            id,
            seconds_of(found.granted_ttl),
            asked + left,
        ))
    }

    fn keep(client: &Client, id: i64, ttl: Duration, safe_until: Instant) -> Lease {
        let (tell, lost) = watch::channel(None);
        let keeper = Keeper {
            client: client.clone(),
            id,
            ttl,
            safe_until,
        };
        let renewing = tokio::spawn(async move {
            let reason = keeper.keep().await;
            tracing::warn!(lease = format!("{id:016x}"), reason, "lease lost");
            tell.send_replace(Some(reason));
        });
        Lease {
            client: client.clone(),
            id,
            ttl,
            lost,
            renewing,
        }
    }

    pub fn id(&self) -> i64 {
        self.id
    }

    /// As it was granted.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// False once it is lost, or may be.
    pub fn is_held(&self) -> bool {
        self.lost.borrow().is_none()
    }

    /// Waits until it is lost and says why.
    pub async fn lost(&self) -> Error {
        let mut lost = self.lost.clone();
        let reason = match lost.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "it is not renewed any longer".to_owned(),
        };
        Error::LeaseLost {
            id: self.id,
            reason,
        }
    }

    /// Ends it and every key that hangs on it.
    pub async fn revoke(self) -> Result<(), Error> {
        self.renewing.abort();
        revoke(&self.client, self.id).await
    }
}

/// Ends a lease, whoever holds it.
pub(crate) async fn revoke(client: &Client, id: i64) -> Result<(), Error> {
    let request = LeaseRevokeRequest { id };
    let ask = |line| async move { LeaseClient::new(line).lease_revoke(request).await };
    // It is revoked once, however often it is asked for: what cannot be found is over.
    let (calls, within) = (client.calls(), client.deadline());
    match calls.ask("LeaseRevoke", Kind::Read, within, ask).await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(tonic::Code::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A time to live as members tell it: whole seconds, one at least.
fn seconds_of(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1))
}

/// Renews one lease until it is lost.
struct Keeper {
    client: Client,
    id: i64,
    ttl: Duration,
    /// Nobody can have ended it by time before then.
    safe_until: Instant,
}

/// A stream of renewals to one member.
struct Line {
    send: mpsc::Sender<LeaseKeepAliveRequest>,
    answers: Streaming<LeaseKeepAliveResponse>,
    chosen: Chosen,
}

impl Keeper {
    /// Returns why it is lost.
    async fn keep(mut self) -> String {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        let mut last = "no member answers".to_owned();
        loop {
            let opened = tokio::time::timeout_at(self.safe_until, self.open()).await;
            match opened {
                Ok(Ok(line)) => match self.renew_over(line, &mut backoff).await {
                    Ended::Lost(reason) => return reason,
                    Ended::Broken(reason) => last = reason,
                },
                Ok(Err(reason)) => last = reason,
                Err(_) => {}
            }
            let wait = backoff.next();
            if Instant::now() + wait >= self.safe_until {
                tokio::time::sleep_until(self.safe_until).await;
                return format!("not renewed within {:?}: {last}", self.ttl);
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn open(&self) -> Result<Line, String> {
        let calls = self.client.calls();
        let chosen = match calls.choose(true).await {
            Ok(chosen) => chosen,
            Err((at, status)) => {
                calls.leave(at);
                return Err(told(&status));
            }
        };
        let (send, requests) = mpsc::channel(1);
        let mut stub = LeaseClient::new(chosen.line.clone());
        // A member may send the headers of its answer with the first answer only.
        let _ = send.try_send(LeaseKeepAliveRequest { id: self.id });
        match stub.lease_keep_alive(ReceiverStream::new(requests)).await {
            Ok(answers) => Ok(Line {
                send,
                answers: answers.into_inner(),
                chosen,
            }),
            Err(status) => {
                self.part(&chosen, &status).await;
                Err(told(&status))
            }
        }
    }

    async fn part(&self, chosen: &Chosen, status: &tonic::Status) {
        let stale = Verdict::of(status) == Verdict::TokenStale;
        self.client.calls().part(chosen, stale).await;
    }

    async fn renew_over(&mut self, mut line: Line, backoff: &mut Backoff) -> Ended {
        let every = self.ttl / RENEWALS;
        let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sent = Instant::now();
        let mut waiting = true;
        loop {
            // A member that has not answered when the next is due is given up.
            tokio::select! {
                _ = ticks.tick() => {
                    if waiting {
                        self.client.calls().leave_chosen(&line.chosen);
                        return Ended::Broken("the member says nothing".to_owned());
                    }
                    sent = Instant::now();
                    waiting = true;
                    let request = LeaseKeepAliveRequest { id: self.id };
                    if line.send.send(request).await.is_err() {
                        return Ended::Broken("the stream has ended".to_owned());
                    }
                }
                answer = line.answers.message() => match answer {
                    Ok(Some(answer)) if answer.ttl > 0 => {
                        waiting = false;
                        backoff.reset();
                        self.safe_until = sent + self.ttl;
                    }
                    Ok(Some(_)) => return Ended::Lost("it has expired or was revoked".to_owned()),
                    Ok(None) => return Ended::Broken("the member has ended the stream".to_owned()),
                    Err(status) => {
                        self.part(&line.chosen, &status).await;
                        return Ended::Broken(told(&status));
                    }
                }
            }
        }
    }
}

enum Ended {
    Lost(String),
    Broken(String),
}
