//! One pass over one set: what has happened, what is declared, read anew if any of it may have changed,
//! and what is told. `keep.rs` has what is done about the keys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::{Api, Resource, ResourceExt};
use mainstay_operator_api::MainstayKeySet;
use mainstay_operator_api::keyset::{KeySetReason, MainstayKeySetStatus};

use super::desk::{Desk, Desks, Memory, News};
use super::keep::between_tries;
use super::report::Verdict;
use super::{Error, KIND, removal, sources, wanted};
use crate::context::Context;
use crate::metrics::Object;
use crate::sessions::{Session, Who};
use crate::{events, status};

/// Everything is read anew this often, whatever watches tell.
pub const LOOK: Duration = Duration::from_secs(300);
/// Between two tries while the cluster cannot be used.
pub const WAIT: Duration = Duration::from_secs(5);
/// When another was faster.
pub const SOON: Duration = Duration::from_millis(100);

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
            // What was refused is tried again in its time, or once anything is different.
            let late = |tried: Instant| tried.elapsed() >= between_tries(memory.refused.len());
            memory.retry = news.stirred || changed || memory.tried.is_none_or(late);
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
        memory.settled = None;
        memory.refused.clear();
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
    pub async fn stop(
        &self,
        memory: &mut Memory,
        verdict: &Verdict,
    ) -> Result<Option<Duration>, Error> {
        memory.follower = None;
        memory.session = None;
        memory.looked = None;
        memory.refused.clear();
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
        Ok(self.open().await.map(|session| {
            memory.session = Some(session);
            memory.asked = Some(Instant::now());
        }))
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
        if session.users.enabled && spec.user.is_none() {
            return Err(user_required(&session));
        }
        Ok(session)
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
        self.show(memory, &status, verdict);
        if status == memory.status {
            return Ok(());
        }
        let reason = |status: &MainstayKeySetStatus| {
            status.conditions.first().map(|known| known.reason.clone())
        };
        let is_new = reason(&memory.status) != reason(&status);
        self.write_status(memory, status).await?;
        if is_new && !verdict.ready && !is_quiet(verdict) {
            self.event(true, verdict.reason, verdict.message.clone())
                .await;
        }
        Ok(())
    }

    fn show(&self, memory: &Memory, status: &MainstayKeySetStatus, verdict: &Verdict) {
        let metrics = &self.context.metrics;
        let refused = memory.refused.len();
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (family, value) in [
            (&metrics.keyset_keys, status.keys),
            (&metrics.keyset_in_sync, status.in_sync),
            (&metrics.keyset_conflicts, count(status.conflicts.len())),
            (&metrics.keyset_refused, count(refused)),
        ] {
            family.get_or_create(self.named).set(value);
        }
        let ready = (!is_quiet(verdict)).then_some(verdict.ready);
        metrics.declare(KIND, self.named, ready);
    }

    pub async fn write_status(
        &self,
        memory: &mut Memory,
        status: MainstayKeySetStatus,
    ) -> Result<(), Error> {
        let written = status::apply(&self.api(), self.set, &status).await;
        written.map_err(Error::api("the status cannot be written"))?;
        // Others know it before a key is written, not when their watch brings it.
        self.desks.set_written(self.set, &status);
        memory.status = status;
        Ok(())
    }

    pub async fn event(&self, warning: bool, reason: &str, note: String) {
        let about = self.set.object_ref(&());
        events::tell(&self.context.recorder, &about, warning, reason, &note).await;
    }
}

/// Whether somebody wishes it so.
fn is_quiet(verdict: &Verdict) -> bool {
    let quiet = [KeySetReason::Suspended, KeySetReason::Deleting];
    quiet.iter().any(|reason| verdict.reason == reason.text())
}

pub fn user_required(session: &Session) -> Verdict {
    let name = session.cluster.name_any();
    let message =
        format!("MainstayCluster {name} has authentication: name a MainstayUser in spec.user");
    Verdict::not(KeySetReason::UserRequired, message)
}
