//! One pass over one set: what is declared, read anew if any of it may have changed; what is there;
//! and the difference carried out. The status knows a key before the store does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, Resource, ResourceExt};
use mainstay_client::Client;
use mainstay_operator_api::MainstayKeySet;
use mainstay_operator_api::keyset::{KeySetReason, MainstayKeySetStatus, Unlisted};

use super::claims::{Claim, Claims};
use super::compare::{self, Difference, View};
use super::desk::{Desk, Desks, Memory, News};
use super::follow::{Follower, Interest};
use super::report::Verdict;
use super::store::{self, Written};
use super::wanted::{self, Wanted};
use super::{Error, KIND, removal, sources};
use crate::context::Context;
use crate::metrics::{Kind, Object};
use crate::sessions::{Session, Who};
use crate::{events, status};

/// Everything is read anew this often, whatever watches tell.
const LOOK: Duration = Duration::from_secs(300);
/// Between two tries while the cluster cannot be used.
pub const WAIT: Duration = Duration::from_secs(5);
/// When another was faster.
const SOON: Duration = Duration::from_millis(100);

/// A set in a pass.
pub struct Pass<'a> {
    pub desks: &'a Desks,
    pub context: &'a Context,
    pub desk: &'a Arc<Desk>,
    pub set: &'a MainstayKeySet,
    pub named: &'a Object,
}

/// When to look again; `None` is when something happens.
pub async fn run(
    desks: &Desks,
    set: &MainstayKeySet,
    named: &Object,
) -> Result<Option<Duration>, Error> {
    desks.synced().await;
    let desk = desks.desk(named);
    let mut memory = desk.memory.lock().await;
    let news = desk.news();
    let pass = Pass {
        desks,
        context: &desks.context,
        desk: &desk,
        set,
        named,
    };
    let outcome = pass.over(&mut memory, news).await;
    match &outcome {
        Ok(after) => memory.due = after.map(|after| Instant::now() + after),
        Err(_) => desk.stir(),
    }
    outcome
}

impl Pass<'_> {
    pub fn api(&self) -> Api<MainstayKeySet> {
        self.context.api(Some(&self.named.namespace))
    }

    async fn over(&self, memory: &mut Memory, news: News) -> Result<Option<Duration>, Error> {
        if memory.uid != self.set.metadata.uid {
            // What was last written is read live: this process's cache may be older.
            let found = self.api().get_opt(&self.named.name).await;
            let Some(found) = found.map_err(Error::api("the set cannot be read"))? else {
                return Ok(None);
            };
            *memory = Memory {
                uid: found.metadata.uid.clone(),
                status: found.status.unwrap_or_default(),
                ..Memory::default()
            };
        }
        if self.set.metadata.deletion_timestamp.is_some() {
            memory.follower = None;
            return removal::run(self, memory).await;
        }
        self.finalizer(true).await?;
        let now = Instant::now();
        let changed = memory.generation != self.set.metadata.generation;
        let due = memory.due.is_some_and(|due| due <= now)
            || memory
                .looked
                .is_some_and(|at| now.duration_since(at) >= LOOK);
        let anew = news.stirred || changed || due || memory.looked.is_none();
        if !anew && !news.claimed && news.seen.is_none() {
            // The echo of what this process has written into the status.
            return Ok(memory.due.map(|due| due.saturating_duration_since(now)));
        }
        memory.generation = self.set.metadata.generation;
        if self.set.spec.suspended {
            return self.suspend(memory).await;
        }
        if anew {
            memory.looked = None;
            if let Err(verdict) = self.look(memory, due).await? {
                return self.stop(memory, &verdict).await;
            }
            memory.looked = Some(now);
        }
        match (memory.session.clone(), memory.wanted.clone()) {
            (Some(session), Some(wanted)) => self.keep(memory, &session, &wanted, news).await,
            _ => Ok(Some(SOON)),
        }
    }

    async fn suspend(&self, memory: &mut Memory) -> Result<Option<Duration>, Error> {
        memory.follower = None;
        memory.session = None;
        memory.looked = None;
        // What is changed meanwhile is changed by leave.
        let status = MainstayKeySetStatus {
            applied: None,
            ..memory.status.clone()
        };
        let verdict = Verdict::not(
            KeySetReason::Suspended,
            "spec.suspended is set: keys are not looked at",
        );
        self.tell(memory, status, &verdict).await?;
        Ok(None)
    }

    /// Nothing can be done for now. What is in the store stays, and is no longer watched.
    async fn stop(
        &self,
        memory: &mut Memory,
        verdict: &Verdict,
    ) -> Result<Option<Duration>, Error> {
        memory.follower = None;
        memory.session = None;
        memory.looked = None;
        let status = MainstayKeySetStatus {
            in_sync: 0,
            ..memory.status.clone()
        };
        self.tell(memory, status, verdict).await?;
        Ok(Some(WAIT))
    }

    /// Reads what is declared, and opens the cluster.
    async fn look(&self, memory: &mut Memory, fresh: bool) -> Result<Result<(), Verdict>, Error> {
        let references = sources::references(self.set, self.named);
        self.desks.refer(self.named, &references);
        if fresh {
            references.iter().for_each(|at| self.desks.drop_data(at));
        }
        let (found, version) = sources::read(self.desks, self.set, self.named).await?;
        memory.wanted = Some(Arc::new(wanted::wanted(&self.set.spec, &found)));
        memory.version = version;
        Ok(self
            .open()
            .await
            .map(|session| memory.session = Some(session)))
    }

    pub async fn open(&self) -> Result<Session, Verdict> {
        let spec = &self.set.spec;
        let who = spec.user.clone().map_or(Who::Operator, Who::User);
        let sessions = &self.context.sessions;
        let opened = sessions
            .open(self.context, &self.named.namespace, &spec.cluster, &who)
            .await;
        let session = opened.map_err(|unready| Verdict {
            ready: false,
            reason: unready.reason,
            message: unready.message,
        })?;
        if session.auth && spec.user.is_none() {
            return Err(user_required(&session));
        }
        Ok(session)
    }

    /// Makes the keys what they are to be.
    async fn keep(
        &self,
        memory: &mut Memory,
        session: &Session,
        wanted: &Wanted,
        news: News,
    ) -> Result<Option<Duration>, Error> {
        let spec = &self.set.spec;
        let client = session.client.namespaced(&spec.prefix);
        // Root wrote for nobody else; it must not where users are asked for by now.
        if !session.auth
            && let Ok(status) = session.client.access().status().await
            && status.enabled
        {
            return self.stop(memory, &user_required(session)).await;
        }
        let others = self.desks.namespace(self.set);
        let claims = Claims::of(self.set, others.iter().map(|set| &**set));
        if let Err(verdict) = self.expect(memory, session, wanted, &claims) {
            return self.stop(memory, &verdict).await;
        }
        let managed: BTreeSet<String> = memory.status.managed.iter().cloned().collect();
        let keys = wanted.values.keys().chain(&managed);
        let keys = keys
            .map(|key| Bytes::copy_from_slice(key.as_bytes()))
            .collect();
        let owns = spec.unlisted == Unlisted::Delete;
        let read = match store::read(&client, &keys, owns).await {
            Ok(read) => read,
            Err(error) => {
                return self
                    .stop(memory, &Verdict::of_error(&error, self.set))
                    .await;
            }
        };
        if memory.follower.is_none() {
            let interest = interest(self.set, wanted, &claims);
            let desk = Arc::downgrade(self.desk);
            let follower = Follower::start(
                desk,
                client.clone(),
                session.generation,
                read.revision,
                interest,
            );
            memory.follower = Some(follower);
        }
        let resting = memory.fights.resting(Instant::now());
        let difference = compare::compare(&View {
            prefix: &spec.prefix,
            wanted: &wanted.values,
            whole: wanted.is_whole(),
            managed: &managed,
            unlisted: spec.unlisted,
            claims: &claims,
            resting: &resting,
            store: &read.store,
        });
        self.announce(memory, &managed, &difference).await?;
        let written = self.write(&client, &difference).await;
        let drifts = self.count(memory, &difference, &written, news).await;
        let before = &managed;
        self.conclude(memory, wanted, &difference, (&written, before), drifts)
            .await
    }

    /// Tells the watch what it is to see; an error if the watch was refused.
    fn expect(
        &self,
        memory: &mut Memory,
        session: &Session,
        wanted: &Wanted,
        claims: &Claims,
    ) -> Result<(), Verdict> {
        let Some(follower) = &memory.follower else {
            return Ok(());
        };
        let ended = follower.ended();
        if follower.is_over() || ended.is_some() || follower.session != session.generation {
            memory.follower = None;
        } else {
            follower.expect(interest(self.set, wanted, claims));
        }
        match ended {
            Some(error @ mainstay_client::Error::Refused { .. }) => {
                Err(Verdict::of_error(&error, self.set))
            }
            // It is begun anew from what is read now.
            _ => Ok(()),
        }
    }

    /// Writes into the status which keys are about to be the set's.
    async fn announce(
        &self,
        memory: &mut Memory,
        managed: &BTreeSet<String>,
        difference: &Difference,
    ) -> Result<(), Error> {
        if difference.managed.is_subset(managed) {
            return Ok(());
        }
        let mut status = memory.status.clone();
        // Nothing is dropped before it is gone from the store.
        status.managed = difference.managed.union(managed).cloned().collect();
        status.applied = None;
        self.write_status(memory, status).await
    }

    async fn write(&self, client: &Client, difference: &Difference) -> Written {
        // It may have been lost while this pass was looking.
        match self.context.leadership.holds() {
            true => store::write(client, &difference.changes).await,
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
        if memory.status.applied.as_ref() != Some(&memory.version) {
            // What is declared has changed: a difference need not be anybody's doing.
            return 0;
        }
        let now = Instant::now();
        let mut count = 0;
        for change in &difference.changes {
            if !change.is_drift || !written.done.contains(&change.key) {
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
        (written, before): (&Written, &BTreeSet<String>),
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
        status.managed = compare::managed_after(difference, &written.done)
            .into_iter()
            .collect();
        if let Some(mainstay_client::Error::Refused { .. }) = written.failed {
            // What was announced and certainly not written is not the set's to delete.
            let done = |key: &String| written.done.contains(key.as_bytes());
            let managed = &mut status.managed;
            managed.retain(|key| before.contains(key) || done(key));
        }
        status.conflicts = difference.conflicts.clone();
        if drifts > 0 {
            status.drifts = status.drifts.saturating_add(drifts);
            status.last_drift_at = Some(Time(Timestamp::now()));
        }
        let verdict = match &written.failed {
            Some(error) => Verdict::of_error(error, self.set),
            None => Verdict::of_pass(wanted, difference, written.lost),
        };
        if written.failed.is_none() && written.lost == 0 {
            status.applied = Some(memory.version.clone());
        }
        let conflicts = i64::try_from(status.conflicts.len()).unwrap_or(i64::MAX);
        let metrics = &self.context.metrics;
        metrics
            .keyset_keys
            .get_or_create(self.named)
            .set(status.keys);
        metrics
            .keyset_conflicts
            .get_or_create(self.named)
            .set(conflicts);
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
        if written.lost > 0 {
            return Ok(Some(SOON));
        }
        let rested = memory.fights.until(Instant::now());
        Ok(Some(rested.map_or(LOOK, |rested| rested.min(LOOK))))
    }

    /// Writes the status with this as its condition, if anything of it is new.
    pub async fn tell(
        &self,
        memory: &mut Memory,
        mut status: MainstayKeySetStatus,
        verdict: &Verdict,
    ) -> Result<(), Error> {
        status.observed_generation = self.set.metadata.generation;
        status.conditions = vec![verdict.condition(&memory.status, self.set)];
        if status == memory.status {
            return Ok(());
        }
        let reason = |status: &MainstayKeySetStatus| {
            status.conditions.first().map(|known| known.reason.clone())
        };
        let is_new = reason(&memory.status) != reason(&status);
        self.write_status(memory, status).await?;
        let is_quiet = [
            KeySetReason::Suspended.text(),
            KeySetReason::Deleting.text(),
        ];
        if is_new && !verdict.ready && !is_quiet.contains(&verdict.reason) {
            self.event(true, verdict.reason, verdict.message.clone())
                .await;
        }
        Ok(())
    }

    async fn write_status(
        &self,
        memory: &mut Memory,
        status: MainstayKeySetStatus,
    ) -> Result<(), Error> {
        let written = status::apply(&self.api(), self.set, &status).await;
        written.map_err(Error::api("the status cannot be written"))?;
        memory.status = status;
        Ok(())
    }

    pub async fn event(&self, warning: bool, reason: &str, note: String) {
        let about = self.set.object_ref(&());
        events::tell(&self.context.recorder, &about, warning, reason, &note).await;
    }
}

fn user_required(session: &Session) -> Verdict {
    let name = session.cluster.name_any();
    let message =
        format!("MainstayCluster {name} has authentication: name a MainstayUser in spec.user");
    Verdict::not(KeySetReason::UserRequired, message)
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
