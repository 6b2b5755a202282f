//! Which of several operator processes works: the one that holds the Lease.
//!
//! A holder renews it every few seconds. It stops working by its own monotonic clock before the
//! Lease can run out for others, whether or not it hears from the API server ([`Leadership::holds`]).
//! Others take the Lease once it has not changed for its duration *as they have seen it*, so clocks
//! need not agree between nodes.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// After so long without a change the Lease is free.
const DURATION: Duration = Duration::from_secs(15);
/// The holder works for no longer after the start of its last renewal that succeeded.
const WORKS: Duration = Duration::from_secs(10);
/// Between two renewals, and between two looks of those who wait.
const PERIOD: Duration = Duration::from_secs(3);
/// Longest wait for the API server.
const CALL: Duration = Duration::from_secs(4);

/// Whether this process may change anything.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Option<Instant>>);

impl Leadership {
    pub fn holds(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Returns once it holds.
    pub async fn won(&mut self) {
        while !self.holds() {
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns once it no longer holds.
    pub async fn lost(&mut self) {
        loop {
            // Copied: the lock must not be held while waiting.
            let until = *self.0.borrow_and_update();
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let Some(left) = left.filter(|left| !left.is_zero()) else {
                return;
            };
            // A renewal moves the end; a contender that is gone does not.
            tokio::select! {
                () = sleep(left) => {}
                changed = self.0.changed() => if changed.is_err() { sleep(left).await },
            }
        }
    }
}

/// A contender for one Lease.
pub struct Contender {
    api: Api<Lease>,
    name: String,
    identity: String,
    until: watch::Sender<Option<Instant>>,
    seen: Option<Seen>,
}

/// The holder and its last renewal, and since when it has been the same.
struct Seen {
    mark: (Option<String>, Option<MicroTime>),
    since: Instant,
}

impl Contender {
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: String,
    ) -> (Contender, Leadership) {
        let (until, leadership) = watch::channel(None);
        let contender = Contender {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            until,
            seen: None,
        };
        (contender, Leadership(leadership))
    }

    /// Contends until `stop` resolves, then gives the Lease back if it holds it.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let started = Instant::now();
            match timeout(CALL, self.attempt(started)).await {
                Ok(Ok(true)) => {
                    self.until.send_replace(started.checked_add(WORKS));
                }
                Ok(Ok(false)) => {
                    self.until.send_replace(None);
                }
                Ok(Err(error)) => tracing::warn!(%error, "the lease could not be renewed"),
                Err(_) => tracing::warn!("the API server did not answer about the lease"),
            }
            tokio::select! {
                () = sleep(PERIOD) => {}
                () = &mut stop => break,
            }
        }
        let held = self.until.send_replace(None).is_some();
        if held && let Ok(Err(error)) = timeout(CALL, self.release()).await {
            tracing::warn!(%error, "the lease could not be given back; it runs out by itself");
        }
    }

    /// Takes or renews it, if that is allowed; whether this process holds it now.
    async fn attempt(&mut self, now: Instant) -> kube::Result<bool> {
        let Some(found) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.held(None)),
            };
            return won(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = found.spec.clone().unwrap_or_default();
        if !self.may_take(&spec, now) {
            return Ok(false);
        }
        let lease = Lease {
            spec: Some(self.held(Some(&spec))),
            ..found
        };
        // The resource version in it makes that fail if another one was quicker.
        let params = PostParams::default();
        won(self.api.replace(&self.name, &params, &lease).await)
    }

    fn may_take(&mut self, spec: &LeaseSpec, now: Instant) -> bool {
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == self.identity {
            return true;
        }
        let mark = (spec.holder_identity.clone(), spec.renew_time.clone());
        let duration = spec
            .lease_duration_seconds
            .and_then(|s| u64::try_from(s).ok());
        let duration = duration.map_or(DURATION, Duration::from_secs);
        match &self.seen {
            Some(seen) if seen.mark == mark => now.duration_since(seen.since) > duration,
            _ => {
                self.seen = Some(Seen { mark, since: now });
                false
            }
        }
    }

    fn held(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let own = before.is_some_and(|spec| spec.holder_identity.as_ref() == Some(&self.identity));
        let acquired = before.and_then(|spec| spec.acquire_time.clone());
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: if own { acquired } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(match own || before.is_none() {
                true => transitions,
                false => transitions.saturating_add(1),
            }),
            ..LeaseSpec::default()
        }
    }

    async fn release(&self) -> kube::Result<()> {
        let found = self.api.get(&self.name).await?;
        let spec = found.spec.clone().unwrap_or_default();
        if spec.holder_identity.as_ref() != Some(&self.identity) {
            return Ok(());
        }
        let lease = Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(String::new()),
                ..spec
            }),
            ..found
        };
        let params = PostParams::default();
        self.api
            .replace(&self.name, &params, &lease)
            .await
            .map(drop)
    }
}

/// A conflict means that another process was quicker.
fn won(outcome: kube::Result<Lease>) -> kube::Result<bool> {
    match outcome {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn leadership_ends_by_the_clock_of_its_holder() {
        let (until, receiver) = watch::channel(None);
        let mut leadership = Leadership(receiver);
        assert!(!leadership.holds());
        until.send_replace(Instant::now().checked_add(Duration::from_millis(80)));
        leadership.won().await;
        assert!(leadership.holds());
        // A renewal in time moves the end.
        until.send_replace(Instant::now().checked_add(Duration::from_millis(160)));
        let begun = Instant::now();
        leadership.lost().await;
        assert!(begun.elapsed() >= Duration::from_millis(150));
        assert!(!leadership.holds());
    }
}
