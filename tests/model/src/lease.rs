//! The lease promises: never gone while renewed in time, gone soon after that ends, and nothing
//! attached to a lease that is not there.
//!
//! All bounds are on the safe side: a renewal is taken to have happened when it was called, an
//! expiry to be known only when somebody saw it. So a report is a broken promise and never an
//! unlucky schedule.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    history::{Fault, History, Operation},
    ownership::{Owner, Ownership},
    real_time::Floors,
    request::Request,
    response::{Body, Outcome},
    timeline::Timeline,
    violation::{Rule, Violation},
};

const SECOND: u64 = 1_000_000_000;

/// How late an expiry may be without any fault: etcd looks twice a second, and the revoke is a
/// write that shares two cores with the load.
pub const EXPIRY_BOUND: u64 = 4 * SECOND;

/// What a fault adds beside its own length and one full time to live: electing a new leader, who
/// gives every lease an election timeout more.
pub const ELECTION_BOUND: u64 = 3 * SECOND;

/// Judges every lease of the run.
#[must_use]
pub fn check(
    history: &History,
    timeline: &Timeline,
    ownership: &Ownership,
    floors: &Floors,
) -> Vec<Violation> {
    let mut lives = lives(history);
    for (lease, revision) in &ownership.expiries {
        if let Some(life) = lives.get_mut(lease) {
            life.expired = Some(*revision);
        }
    }
    let evidence = Evidence::new(history, timeline, ownership);
    let mut found = check_attached(history, &lives);
    for (lease, life) in &lives {
        found.extend(check_early(*lease, life, floors));
        found.extend(check_late(*lease, life, &evidence));
    }
    found
}

/// What the clients know of one lease.
#[derive(Debug, Default)]
struct Life {
    /// Calls that may have granted it.
    granted: Option<u64>,
    /// Grant and renewals that succeeded: call, return, seconds to live.
    renewals: Vec<(u64, u64, i64)>,
    /// The latest moment at which a renewal without an answer may have been sent.
    unanswered: u64,
    /// The first answer saying that the lease is not there.
    missing: Option<u64>,
    /// Call and, if it succeeded, return of the first revoke.
    revoked: Option<(u64, Option<u64>)>,
    /// The revision that nothing but its expiry explains.
    expired: Option<i64>,
}

fn lives(history: &History) -> BTreeMap<i64, Life> {
    let mut lives: BTreeMap<i64, Life> = BTreeMap::new();
    for operation in &history.operations {
        match &operation.request {
            Request::LeaseGrant { id, .. } | Request::LeaseKeepAlive { id } => {
                lives.entry(*id).or_default().note_renewal(operation);
            }
            Request::LeaseRevoke { id } => lives.entry(*id).or_default().note_revoke(operation),
            Request::Put { lease, .. } if *lease != 0 => {
                if let Outcome::Failed { message, .. } = &operation.outcome
                    && message.contains("lease not found")
                {
                    lives.entry(*lease).or_default().note_missing(operation.ret);
                }
            }
            _ => {}
        }
    }
    lives
}

impl Life {
    fn note_renewal(&mut self, operation: &Operation) {
        let granting = matches!(operation.request, Request::LeaseGrant { .. });
        if granting && !matches!(operation.outcome, Outcome::Failed { .. }) {
            self.granted = Some(operation.call);
        }
        match &operation.outcome {
            Outcome::Ok(response) => match response.body {
                Body::LeaseGrant { ttl, .. } | Body::LeaseKeepAlive { ttl } if ttl > 0 => {
                    self.renewals.push((operation.call, operation.ret, ttl));
                }
                _ => self.note_missing(operation.ret),
            },
            Outcome::Unknown { .. } => self.unanswered = self.unanswered.max(operation.ret),
            Outcome::Failed { .. } => {}
        }
    }

    fn note_revoke(&mut self, operation: &Operation) {
        let done = match &operation.outcome {
            Outcome::Ok(_) => Some(operation.ret),
            Outcome::Unknown { .. } => None,
            Outcome::Failed { message, .. } => {
                if message.contains("lease not found") {
                    self.note_missing(operation.ret);
                }
                return;
            }
        };
        if self.revoked.is_none_or(|(call, _)| operation.call < call) {
            self.revoked = Some((operation.call, done));
        }
    }

    fn note_missing(&mut self, time: u64) {
        self.missing = Some(self.missing.map_or(time, |missing| missing.min(time)));
    }

    /// The seconds of its grant.
    fn ttl(&self) -> i64 {
        self.renewals
            .iter()
            .map(|(_, _, ttl)| *ttl)
            .max()
            .unwrap_or(0)
    }
}

/// Two ways to be gone too soon: the keys went, or an answer denied the lease. The second may be a
/// member that does not know yet of what it denies.
fn check_early(lease: i64, life: &Life, floors: &Floors) -> Vec<Violation> {
    let expiry_seen = life
        .expired
        .and_then(|revision| floors.first_seen(revision));
    let ways = [
        (Rule::LeaseEarly, expiry_seen, "its keys were gone"),
        (Rule::LeaseDenied, life.missing, "an answer denied it"),
    ];
    let found = ways.into_iter().filter_map(|(rule, gone, how)| {
        let gone = gone.filter(|gone| life.revoked.is_none_or(|(call, _)| call >= *gone))?;
        let (call, _, ttl) = life
            .renewals
            .iter()
            .find(|(call, _, ttl)| gone < call + seconds(*ttl))?;
        Some(Violation::new(
            rule,
            format!(
                "lease {lease}: {how} by {:.3} s, but a renewal called at {:.3} s gave it {ttl} s",
                gone as f64 / 1e9,
                *call as f64 / 1e9
            ),
        ))
    });
    found.collect()
}

fn check_late(lease: i64, life: &Life, evidence: &Evidence<'_>) -> Option<Violation> {
    let last = life
        .renewals
        .iter()
        .map(|(_, ret, _)| *ret)
        .max()?
        .max(life.unanswered);
    let alive = evidence.last_sign(lease)?;
    let faults: u64 = evidence
        .faults
        .iter()
        .filter(|fault| fault.start < alive && last < fault.end + ELECTION_BOUND)
        .map(|fault| allowance(fault, life.ttl()))
        .sum();
    let deadline = last + seconds(life.ttl()) + EXPIRY_BOUND + faults;
    (alive > deadline).then(|| {
        Violation::new(
            Rule::LeaseLate,
            format!(
                "lease {lease} of {} s was last renewed by {:.3} s and still held its keys at \
                 {:.3} s; the bound was {:.3} s",
                life.ttl(),
                last as f64 / 1e9,
                alive as f64 / 1e9,
                deadline as f64 / 1e9
            ),
        )
    })
}

fn allowance(fault: &Fault, ttl: i64) -> u64 {
    fault.end.saturating_sub(fault.start) + seconds(ttl) + ELECTION_BOUND
}

/// What tells that a lease still held its keys at some moment.
struct Evidence<'a> {
    faults: &'a [Fault],
    end: u64,
    /// Revisions in order, each with the latest call answered at it or before.
    calls: Vec<(i64, u64)>,
    /// The revision at which a lease expired.
    ended: BTreeMap<i64, i64>,
    /// Leases whose keys are still there at the end.
    held: BTreeSet<i64>,
}

impl<'a> Evidence<'a> {
    fn new(history: &'a History, timeline: &Timeline, ownership: &Ownership) -> Evidence<'a> {
        let mut calls: Vec<(i64, u64)> = history
            .operations
            .iter()
            .filter(|operation| !operation.request.may_be_stale())
            .filter_map(|operation| Some((operation.response()?.revision, operation.call)))
            .collect();
        calls.sort_unstable();
        let mut latest = 0;
        for (_, call) in &mut calls {
            latest = latest.max(*call);
            *call = latest;
        }
        let ended = ownership
            .owners
            .iter()
            .filter_map(|(revision, owner)| match owner {
                Owner::Expiry(lease) => Some((*lease, *revision)),
                Owner::Operation(_) => None,
            });
        let mut carried: BTreeMap<&str, i64> = BTreeMap::new();
        for event in timeline.between(0, timeline.last()) {
            carried.insert(&event.kv.key, event.kv.lease);
        }
        Evidence {
            faults: &history.faults,
            end: history.end,
            calls,
            ended: ended.collect(),
            held: carried.into_values().collect(),
        }
    }

    /// The latest call that was answered while keys of the lease were still there.
    fn last_sign(&self, lease: i64) -> Option<u64> {
        match self.ended.get(&lease) {
            Some(ended) => {
                let count = self.calls.partition_point(|(revision, _)| revision < ended);
                self.calls.get(count.checked_sub(1)?).map(|(_, call)| *call)
            }
            None => self.held.contains(&lease).then_some(self.end),
        }
    }
}

/// Nothing is attached before the grant or after the end.
fn check_attached(history: &History, lives: &BTreeMap<i64, Life>) -> Vec<Violation> {
    let mut found = Vec::new();
    for operation in &history.operations {
        let Some(response) = operation
            .response()
            .filter(|response| response.body.wrote())
        else {
            continue;
        };
        let Request::Put { lease, .. } = operation.request else {
            continue;
        };
        if lease == 0 {
            continue;
        }
        let life = lives.get(&lease);
        let reason = if life
            .and_then(|life| life.granted)
            .is_none_or(|call| call > operation.ret)
        {
            "was not granted before".to_owned()
        } else if let Some(expired) = life
            .and_then(|life| life.expired)
            .filter(|expired| *expired < response.revision)
        {
            format!("had expired at revision {expired}")
        } else if life
            .and_then(|life| life.revoked?.1)
            .is_some_and(|done| done < operation.call)
        {
            "had been revoked".to_owned()
        } else {
            continue;
        };
        let message = format!("lease {lease} {reason}; {}", operation.describe());
        found.push(Violation::new(Rule::LeaseDead, message));
    }
    found
}

fn seconds(ttl: i64) -> u64 {
    u64::try_from(ttl).unwrap_or(0).saturating_mul(SECOND)
}

#[cfg(test)]
mod tests;
