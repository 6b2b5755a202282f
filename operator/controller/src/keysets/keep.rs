//! The keys of a set made what they are to be: what is there against what is declared, and the
//! difference carried out. The status, and so every other set, knows a key before the store does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use mainstay_client::Client;
use mainstay_operator_api::MainstayKeySet;
use mainstay_operator_api::keyset::{KeySetReason, Unlisted};

use super::claims::{Claim, Claims};
use super::compare::{self, Difference, View};
use super::desk::{Memory, News};
use super::follow::{Follower, Interest};
use super::pass::{LOOK, Pass, SOON, WAIT, user_required};
use super::report::Verdict;
use super::store::{self, REFUSED_MAX, Read, Written};
use super::wanted::Wanted;
use super::{Error, KIND};
use crate::metrics::Kind;
use crate::sessions::Session;

/// How long it is believed that a cluster asks nobody who they are. A change of its spec is looked at
/// at once.
const ASK: Duration = Duration::from_secs(5);
/// What the store has refused is tried again after [`WAIT`], and later the more of it there is.
const REFUSED_PER_WAIT: usize = 100;
/// Between two tries of what was refused, at most.
const PATIENCE: Duration = Duration::from_secs(60);

impl Pass<'_> {
    /// Makes the keys what they are to be.
    pub async fn keep(
        &self,
        memory: &mut Memory,
        session: &Session,
        wanted: &Wanted,
        news: News,
    ) -> Result<Option<Duration>, Error> {
        let spec = &self.set.spec;
        let client = session.client.namespaced(&spec.prefix);
        self.desks.set_written(self.set, &memory.status);
        if let Err(verdict) = self.expect(memory, session, wanted) {
            return self.stop(memory, &verdict).await;
        }
        let managed: BTreeSet<String> = memory.status.managed.iter().cloned().collect();
        let keys = wanted.values.keys().chain(&managed);
        let keys = keys.map(|key| Bytes::copy_from_slice(key.as_bytes()));
        let read = match self.read(memory, session, &client, &keys.collect()).await {
            Ok(read) => read,
            Err(verdict) => return self.stop(memory, &verdict).await,
        };
        if memory.follower.is_none() {
            let interest = interest(self.set, wanted, &self.claims());
            let desk = Arc::downgrade(self.desk);
            let (client, revision) = (client.clone(), read.revision);
            let follower = Follower::start(desk, client, session.generation, revision, interest);
            memory.follower = Some(follower);
        }
        let difference = self.decide(memory, wanted, &managed, &read).await?;
        let written = self.write(&client, &difference).await;
        let drifts = self.count(memory, &difference, &written, news).await;
        self.conclude(memory, wanted, &difference, (written, &managed), drifts)
            .await
    }

    /// What is in the store. A set without a user works as root, which it must not where users are
    /// asked for by now.
    async fn read(
        &self,
        memory: &mut Memory,
        session: &Session,
        client: &Client,
        keys: &BTreeSet<Bytes>,
    ) -> Result<Read, Verdict> {
        let known = session.users.enabled || memory.asked.is_some_and(|at| at.elapsed() < ASK);
        let ask = async {
            match known {
                true => None,
                false => session.client.access().status().await.ok(),
            }
        };
        let owns = self.set.spec.unlisted == Unlisted::Delete;
        let (asked, read) = tokio::join!(ask, store::read(client, keys, owns));
        match asked {
            Some(status) if status.enabled => return Err(user_required(session)),
            Some(_) => memory.asked = Some(Instant::now()),
            None => {}
        }
        read.map_err(|error| Verdict::of_error(&error, self.set))
    }

    fn claims(&self) -> Claims {
        let others = self.desks.namespace(self.set);
        Claims::of(self.set, others.iter().map(|set| &**set))
    }

    /// What is to be done, announced. Claims are taken after the read, so that the writer of each key
    /// is known, and once more after an announcement: by then every set that is at work knows of it,
    /// or is known here.
    async fn decide(
        &self,
        memory: &mut Memory,
        wanted: &Wanted,
        managed: &BTreeSet<String>,
        read: &Read,
    ) -> Result<Difference, Error> {
        let resting = memory.fights.resting(Instant::now());
        let refused = match memory.retry {
            true => BTreeSet::new(),
            false => memory.refused.keys().cloned().collect(),
        };
        loop {
            let difference = compare::compare(&View {
                prefix: &self.set.spec.prefix,
                wanted: &wanted.values,
                whole: wanted.is_whole(),
                managed,
                unwritten: &memory.unwritten,
                unlisted: self.set.spec.unlisted,
                claims: &self.claims(),
                resting: &resting,
                refused: &refused,
                store: &read.store,
            });
            if !self.announce(memory, &difference).await? {
                return Ok(difference);
            }
        }
    }

    /// Tells the watch what it is to see; an error if the watch was refused.
    fn expect(
        &self,
        memory: &mut Memory,
        session: &Session,
        wanted: &Wanted,
    ) -> Result<(), Verdict> {
        let Some(follower) = &memory.follower else {
            return Ok(());
        };
        let ended = follower.ended();
        if follower.is_over() || ended.is_some() || follower.session != session.generation {
            memory.follower = None;
        } else {
            follower.expect(interest(self.set, wanted, &self.claims()));
        }
        match ended {
            Some(error @ mainstay_client::Error::Refused { .. }) => {
                Err(Verdict::of_error(&error, self.set))
            }
            // It is begun anew from what is read now.
            _ => Ok(()),
        }
    }

    /// Writes into the status which keys are about to be the set's, unless it has them all.
    async fn announce(&self, memory: &mut Memory, difference: &Difference) -> Result<bool, Error> {
        let known: BTreeSet<String> = memory.status.managed.iter().cloned().collect();
        if difference.managed.is_subset(&known) {
            return Ok(false);
        }
        let mut status = memory.status.clone();
        // Nothing is dropped before it is gone from the store.
        status.managed = difference.managed.union(&known).cloned().collect();
        status.applied = None;
        let new = difference.managed.difference(&known).cloned();
        memory.unwritten.extend(new);
        self.write_status(memory, status).await?;
        Ok(true)
    }

    async fn write(&self, client: &Client, difference: &Difference) -> Written {
        // It may have been lost while this pass was looking.
        match self.context.leadership.holds() {
            true => store::write(client, &difference.changes, REFUSED_MAX).await,
            false => Written {
                lost: difference.changes.len(),
                ..Written::default()
            },
        }
    }

    /// Counts what was put right, and how long that took since it was seen.
    async fn count(
        &self,
        memory: &mut Memory,
        difference: &Difference,
        written: &Written,
        news: News,
    ) -> i64 {
        let before = memory.settled.as_ref().or(memory.status.applied.as_ref());
        if before != Some(&memory.version) {
            // What is declared has changed: a difference need not be anybody's doing.
            return 0;
        }
        let now = Instant::now();
        let mut count = 0;
        for change in &difference.changes {
            let is_late = memory.refused.contains_key(&change.key);
            if !change.is_drift || is_late || !written.done.contains(&change.key) {
                continue;
            }
            count += 1;
            if memory.fights.corrected(&change.key, now) {
                let key = String::from_utf8_lossy(&change.key);
                let note = format!(
                    "{}{key} was put right ten times within a minute and is left alone for a while",
                    self.set.spec.prefix
                );
                self.event(true, KeySetReason::Contested.text(), note).await;
            }
        }
        let metrics = &self.context.metrics;
        if count > 0 {
            let kind = Kind {
                kind: KIND.to_owned(),
            };
            metrics.drifts.get_or_create(&kind).inc_by(count);
            if let Some(seen) = news.seen {
                let took = now.saturating_duration_since(seen).as_secs_f64();
                metrics.keyset_correction.observe(took);
            }
        }
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    async fn conclude(
        &self,
        memory: &mut Memory,
        wanted: &Wanted,
        difference: &Difference,
        (written, before): (Written, &BTreeSet<String>),
        drifts: i64,
    ) -> Result<Option<Duration>, Error> {
        let puts = difference
            .changes
            .iter()
            .filter(|change| change.value.is_some());
        let put = puts
            .filter(|change| written.done.contains(&change.key))
            .count();
        let length = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let mut status = memory.status.clone();
        status.keys = length(wanted.values.len());
        status.in_sync = length(difference.in_sync + put);
        let managed = compare::managed_after(difference, &written.done).into_iter();
        // What was announced and certainly not written is not the set's to delete.
        let managed = managed.filter(|key| before.contains(key) || !written.is_left(key));
        status.managed = managed.collect();
        memory
            .unwritten
            .retain(|key| status.managed.contains(key) && !written.done.contains(key.as_bytes()));
        status.conflicts = difference.conflicts.clone();
        if drifts > 0 {
            status.drifts = status.drifts.saturating_add(drifts);
            status.last_drift_at = Some(Time(Timestamp::now()));
        }
        memory
            .refused
            .retain(|key, _| difference.refused.contains(key));
        memory.refused.extend(written.refused);
        if std::mem::take(&mut memory.retry) {
            memory.tried = Some(Instant::now());
        }
        let verdict = match &written.failed {
            Some(error) => Verdict::of_error(error, self.set),
            None => Verdict::of_refused(&memory.refused, self.set)
                .unwrap_or_else(|| Verdict::of_pass(wanted, difference, written.lost)),
        };
        let again = written.lost > 0 || !written.untried.is_empty();
        if written.failed.is_none() && !again {
            memory.settled = Some(memory.version.clone());
            if memory.refused.is_empty() {
                status.applied = Some(memory.version.clone());
            }
        }
        self.tell(memory, status, &verdict).await?;
        if drifts > 0 {
            let note = "Keys were changed in the cluster and put right: see status.drifts";
            self.event(false, KeySetReason::Drifting.text(), note.to_owned())
                .await;
        }
        if written.failed.is_some() {
            memory.session = None;
            memory.looked = None;
            return Ok(Some(WAIT));
        }
        if !memory.refused.is_empty() {
            // Who opens the door need not be root.
            memory.asked = None;
        }
        Ok(Some(after(memory, again)))
    }
}

/// When to look again after a pass that the store has answered.
fn after(memory: &Memory, again: bool) -> Duration {
    if again {
        return SOON;
    }
    let rested = memory.fights.until(Instant::now()).unwrap_or(LOOK);
    let refused = match memory.refused.len() {
        0 => LOOK,
        count => {
            let since = memory.tried.map_or(WAIT, |tried| tried.elapsed());
            between_tries(count).saturating_sub(since)
        }
    };
    rested.min(refused).min(LOOK)
}

/// So many changes are refused.
pub fn between_tries(refused: usize) -> Duration {
    let times = u32::try_from(refused / REFUSED_PER_WAIT).unwrap_or(u32::MAX);
    WAIT.saturating_mul(times.saturating_add(1)).min(PATIENCE)
}

fn interest(set: &MainstayKeySet, wanted: &Wanted, claims: &Claims) -> Interest {
    let whose = |key: &str| claims.of_key(format!("{}{key}", set.spec.prefix).as_bytes());
    let own = wanted
        .values
        .iter()
        .filter(|(key, _)| !matches!(whose(key), Claim::Older(_)));
    let own = own.map(|(key, value)| (Bytes::copy_from_slice(key.as_bytes()), value.clone()));
    Interest {
        wanted: own.collect(),
        owns: set.spec.unlisted == Unlisted::Delete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_refused_the_later_it_is_tried_again() {
        assert_eq!(between_tries(1), WAIT);
        assert_eq!(between_tries(250), WAIT * 3);
        assert_eq!(between_tries(usize::MAX), PATIENCE);
    }
}
