//! What users and roles have in common: each is a resource that claims a name in the store of one
//! cluster. Of several that claim one name the oldest has it. A finalizer holds the resource until
//! what it stands for has gone from the store, if it is to go.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Resource, ResourceExt};
use mainstay_client::access::Access;
use mainstay_operator_act::finalizer;
use mainstay_operator_api::MainstayCluster;
use mainstay_operator_api::storage::Retention;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, reason};
use crate::context::Context;
use crate::metrics::{Kind, Object};
use crate::passes::condition;
use crate::sessions::{Session, Unready, Who};
use crate::{events, status};

/// On resources whose user or role goes with them.
const FINALIZER: &str = "mainstay.dev/access";
/// Between two looks at what is waited for.
pub const WAIT: Duration = Duration::from_secs(5);
/// Between two looks at what is as it should be: somebody may have changed it by other means.
pub const LOOK: Duration = Duration::from_secs(30);
/// So long it is believed that nothing has changed where the revision of the users has not: a cluster
/// that was made anew of one survivor may have come to the same one by another way.
const BELIEVED: Duration = Duration::from_secs(600);

/// A resource that claims a name in a store.
pub trait Claim:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    const KIND: &'static str;
    type Status: Serialize + PartialEq + Clone + Default + Send + Sync;

    fn cluster(&self) -> &str;
    fn claimed(&self) -> &str;
    fn retention(&self) -> Retention;
    fn status(&self) -> Option<&Self::Status>;
    fn conditions(status: &Self::Status) -> &[Condition];
    /// Puts into a status what each has.
    fn stamp(&self, status: &mut Self::Status, condition: Condition);
    /// Counts a change by somebody else that was put right.
    fn count(status: &mut Self::Status);
    /// Deletes what it stands for; what is not there is no error.
    fn remove(&self, access: &Access) -> impl Future<Output = Result<(), Error>> + Send;
}

/// What all passes over one kind share.
pub struct Room<K: Claim> {
    pub context: Arc<Context>,
    /// All of them, as far as they are known.
    pub all: Store<DeserializeGuard<K>>,
    /// When each was last seen to be as asked for.
    pub seen: Mutex<HashMap<Object, Seen>>,
    /// Those that the metrics have a row of.
    pub shown: Mutex<HashSet<Object>>,
}

/// A look that found nothing to do.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Of the session.
    generation: u64,
    /// Of the users in the store.
    revision: u64,
    at: Instant,
}

impl Seen {
    pub fn now(session: &Session) -> Seen {
        Seen {
            generation: session.generation,
            revision: session.users.revision,
            at: Instant::now(),
        }
    }

    /// Whether nobody has changed any user or role since.
    fn holds(&self, session: &Session, now: Instant) -> bool {
        self.is_of(session.generation, session.users.revision)
            && now.saturating_duration_since(self.at) < BELIEVED
    }

    fn is_of(&self, generation: u64, revision: u64) -> bool {
        (self.generation, self.revision) == (generation, revision)
    }
}

impl<K: Claim> Room<K> {
    /// Shows in the metrics whether one is as asked for; `None` if it is gone. Those that went without
    /// a pass, because nothing held them, are dropped with it.
    pub fn show(&self, named: &Object, ready: Option<bool>) {
        let mut shown = self.shown.lock();
        shown.insert(named.clone());
        let metrics = &self.context.metrics;
        metrics.declare(K::KIND, named, ready);
        shown.retain(|row| {
            let at = ObjectRef::new(&row.name).within(&row.namespace);
            let stays = match row == named {
                true => ready.is_some(),
                false => self.all.get(&at).is_some(),
            };
            if !stays {
                metrics.declare(K::KIND, row, None);
            }
            stays
        });
    }
}

/// What is to be told of a resource.
#[derive(Debug)]
pub struct Verdict {
    pub reason: &'static str,
    pub message: String,
}

impl Verdict {
    pub fn new(reason: &'static str, message: impl Into<String>) -> Verdict {
        Verdict {
            reason,
            message: message.into(),
        }
    }

    pub fn is_good(&self) -> bool {
        self.reason == reason::AS_ASKED
    }
}

impl From<Unready> for Verdict {
    fn from(unready: Unready) -> Verdict {
        Verdict::new(unready.reason, unready.message)
    }
}

/// One resource in one pass.
pub struct Ward<'a, K: Claim> {
    pub room: &'a Room<K>,
    pub named: &'a Object,
    pub object: &'a K,
}

impl<K: Claim> Ward<'_, K> {
    pub fn api<O>(&self) -> Api<O>
    where
        O: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        self.room.context.api(Some(&self.named.namespace))
    }

    pub async fn session(&self) -> Result<Session, Unready> {
        let (context, namespace) = (&self.room.context, &self.named.namespace);
        let cluster = self.object.cluster();
        let sessions = &context.sessions;
        sessions
            .open(context, namespace, cluster, &Who::Operator)
            .await
    }

    /// The older resource that claims the same name.
    pub fn rival(&self) -> Option<String> {
        let all = self.others();
        let older = all.iter().filter(|other| is_older(*other, self.object));
        older.map(ResourceExt::name_any).min()
    }

    /// Others that claim the same name and are to stay.
    fn others(&self) -> Vec<K> {
        let all = self.room.all.state();
        let all = all.iter().filter_map(|guarded| guarded.0.as_ref().ok());
        let same = all.filter(|other| {
            other.namespace().as_deref() == Some(self.named.namespace.as_str())
                && other.cluster() == self.object.cluster()
                && other.claimed() == self.object.claimed()
                && other.uid() != self.object.uid()
                && other.meta().deletion_timestamp.is_none()
        });
        same.cloned().collect()
    }

    /// Whether it was as asked for, by the same spec: then whatever differs was changed by another.
    pub fn was_good(&self) -> bool {
        let conditions = self.object.status().map(K::conditions).unwrap_or_default();
        conditions.iter().any(|known| {
            known.reason == reason::AS_ASKED
                && known.observed_generation == self.object.meta().generation
        })
    }

    /// Whether a look found nothing to do, and no user or role has changed since.
    pub fn is_seen(&self, session: &Session) -> bool {
        let seen = self.room.seen.lock().get(self.named).copied();
        seen.is_some_and(|seen| seen.holds(session, Instant::now()))
    }

    pub fn see(&self, session: &Session) {
        let seen = Seen::now(session);
        self.room.seen.lock().insert(self.named.clone(), seen);
    }

    /// Tells in the log, in an event and in the status that somebody else's change was put right.
    pub async fn drifted(&self, status: &mut K::Status, what: &str) {
        K::count(status);
        let context = &self.room.context;
        let kind = Kind {
            kind: K::KIND.to_owned(),
        };
        context.metrics.drifts.get_or_create(&kind).inc();
        let name = self.object.claimed();
        tracing::info!(
            kind = K::KIND,
            object = self.named.name,
            namespace = self.named.namespace,
            what,
            "somebody else's change was put right"
        );
        let note = format!("{name} was changed by another, and is as asked for again: {what}");
        let about = self.object.object_ref(&());
        events::tell(&context.recorder, &about, true, reason::DRIFTED, &note).await;
    }

    /// Writes the status if it differs, and an event if the condition has become another.
    pub async fn tell(&self, mut status: K::Status, verdict: &Verdict) -> Result<(), Error> {
        let truth = match verdict.is_good() {
            true => "True",
            false => "False",
        };
        let known = self.object.status().map(K::conditions).unwrap_or_default();
        let row = condition(
            known,
            self.object,
            "Ready",
            (truth, verdict.reason),
            verdict.message.clone(),
        );
        let changed = known
            .iter()
            .all(|known| known.status != row.status || known.reason != row.reason);
        self.room.show(self.named, Some(verdict.is_good()));
        self.object.stamp(&mut status, row);
        if self.object.status() == Some(&status) {
            return Ok(());
        }
        let told = status::apply(&self.api(), self.object, &status).await;
        told.map_err(Error::api("the status cannot be written"))?;
        if changed {
            let about = self.object.object_ref(&());
            let (recorder, warning) = (&self.room.context.recorder, !verdict.is_good());
            let (reason, note) = (verdict.reason, &verdict.message);
            events::tell(recorder, &about, warning, reason, note).await;
        }
        Ok(())
    }

    /// What it stands for goes before it does, unless it is to stay or another resource claims it.
    pub async fn depart(&self) -> Result<Option<Duration>, Error> {
        self.room.seen.lock().remove(self.named);
        if !self.holds_finalizer() {
            return Ok(None);
        }
        let stays = self.object.retention() == Retention::Retain || !self.others().is_empty();
        if !stays && self.cluster_stays().await? {
            match self.session().await {
                Ok(session) => {
                    if let Err(error) = self.object.remove(&session.client.access()).await {
                        let status = self.object.status().cloned().unwrap_or_default();
                        self.tell(status, &error.verdict()).await?;
                        return Err(error);
                    }
                }
                Err(unready) => {
                    let mut verdict = Verdict::from(unready);
                    verdict.message = format!(
                        "{}; it is deleted once that can be done, or take the finalizer \
                         {FINALIZER} away to leave it",
                        verdict.message
                    );
                    let status = self.object.status().cloned().unwrap_or_default();
                    self.tell(status, &verdict).await?;
                    return Ok(Some(WAIT));
                }
            }
        }
        self.finalizer(false).await?;
        self.room.show(self.named, None);
        Ok(None)
    }

    /// Where the cluster goes as well, its store does.
    async fn cluster_stays(&self) -> Result<bool, Error> {
        let api = self.api::<MainstayCluster>();
        let found = api.get_opt(self.object.cluster()).await;
        let found = found.map_err(Error::api("the cluster cannot be read"))?;
        Ok(found.is_some_and(|found| found.metadata.deletion_timestamp.is_none()))
    }

    fn holds_finalizer(&self) -> bool {
        let finalizers = self.object.finalizers();
        finalizers.iter().any(|known| known == FINALIZER)
    }

    pub async fn finalizer(&self, wanted: bool) -> Result<(), Error> {
        match finalizer::set(&self.api(), self.object, FINALIZER, wanted).await {
            Err(kube::Error::Api(answer)) if !wanted && answer.code == 404 => Ok(()),
            other => other.map_err(Error::api("the finalizer cannot be written")),
        }
    }
}

/// By the time of creation, which is whole seconds, and then by name.
fn is_older<K: Resource<DynamicType = ()>>(one: &K, other: &K) -> bool {
    let age = |object: &K| {
        let meta = object.meta();
        let created = meta.creation_timestamp.as_ref().map(|time| time.0);
        // What has no time yet is the youngest.
        (created.is_none(), created, meta.name.clone())
    };
    age(one) < age(other)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use mainstay_operator_api::MainstayRole;
    use mainstay_operator_api::access::MainstayRoleSpec;

    use serde_json::json;

    use super::*;

    fn role(name: &str, created: i64) -> MainstayRole {
        let spec = serde_json::from_value::<MainstayRoleSpec>(json!({"cluster": "db"}));
        let mut role = MainstayRole::new(name, spec.unwrap());
        let created = Timestamp::from_second(created).unwrap();
        role.metadata.creation_timestamp = Some(Time(created));
        role
    }

    #[test]
    fn the_oldest_has_a_name_and_of_one_second_the_first_by_name() {
        assert!(is_older(&role("z", 1), &role("a", 2)));
        assert!(!is_older(&role("a", 2), &role("z", 1)));
        assert!(is_older(&role("a", 1), &role("b", 1)));
        assert!(!is_older(&role("a", 1), &role("a", 1)));
        let mut ageless = role("a", 1);
        ageless.metadata.creation_timestamp = None;
        assert!(is_older(&role("b", 1), &ageless));
    }

    #[test]
    fn what_was_seen_is_of_one_session_and_one_revision_of_users() {
        let seen = Seen {
            generation: 1,
            revision: 7,
            at: Instant::now(),
        };
        assert!(seen.is_of(1, 7));
        assert!(!seen.is_of(1, 8) && !seen.is_of(2, 7));
    }
}
