//! What a set is made of, watched: other sets, ConfigMaps, Secrets, clusters and users. A change wakes
//! the sets that refer to the object, and no others.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Resource, ResourceExt};
use mainstay_operator_api::{MainstayCluster, MainstayUser};

use super::desk::{Desks, Guarded, Reference, named};
use super::wanted::{Kind, Source};

type Woken = Vec<ObjectRef<Guarded>>;

/// Sets that others overlap with.
pub fn sets(desks: Arc<Desks>, api: Api<Guarded>) -> impl Stream<Item = ObjectRef<Guarded>> + Send {
    let mut there = HashSet::new();
    let events = watch(api, watcher::Config::default()).default_backoff();
    events.flat_map(move |event| {
        stream::iter(match event {
            Ok(Event::Init) => {
                there.clear();
                desks.sets_listing();
                Woken::new()
            }
            Ok(Event::InitApply(set)) => {
                there.insert(named(&set));
                set.0
                    .map_or_else(|_| Woken::new(), |set| desks.set_changed(set))
            }
            Ok(Event::InitDone) => desks.sets_are(&there),
            Ok(Event::Apply(set)) => set
                .0
                .map_or_else(|_| Woken::new(), |set| desks.set_changed(set)),
            Ok(Event::Delete(set)) => set
                .0
                .map_or_else(|_| Woken::new(), |set| desks.set_gone(&set)),
            Err(error) => failed(&error),
        })
    })
}

/// ConfigMaps or Secrets: only which version there is, since what they hold is read where it is used.
pub fn sources<K>(
    desks: Arc<Desks>,
    api: Api<PartialObjectMeta<K>>,
    kind: Kind,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let events = watch(api, watcher::Config::default()).default_backoff();
    woken(
        desks,
        events,
        move |object| {
            let name = object.name_any();
            let namespace = object.namespace().unwrap_or_default();
            Reference::Source(namespace, Source { kind, name })
        },
        |object| hash(&(&object.meta().uid, &object.meta().resource_version)),
        move |reference| reference.is_source(kind),
    )
}

/// Clusters: whether they are there, what is asked of them, and whether they serve.
pub fn clusters(
    desks: Arc<Desks>,
    api: Api<DeserializeGuard<MainstayCluster>>,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send {
    let events = watch(api, watcher::Config::default()).default_backoff();
    woken(
        desks,
        events,
        |cluster| Reference::Cluster(named(cluster)),
        |cluster| {
            let status = cluster
                .0
                .as_ref()
                .ok()
                .and_then(|cluster| cluster.status.as_ref());
            let conditions = status.map(|status| &status.conditions[..]);
            hash(&(life(cluster), condition(conditions, "Available")))
        },
        |reference| matches!(reference, Reference::Cluster(_)),
    )
}

/// Users: whether they are there and can log in, and by which password and certificate.
pub fn users(
    desks: Arc<Desks>,
    api: Api<DeserializeGuard<MainstayUser>>,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send {
    let events = watch(api, watcher::Config::default()).default_backoff();
    woken(
        desks,
        events,
        |user| Reference::User(named(user)),
        |user| {
            let status = user.0.as_ref().ok().and_then(|user| user.status.as_ref());
            let conditions = status.map(|status| &status.conditions[..]);
            let shown = status.map(|status| {
                let until = status
                    .certificate_until
                    .as_ref()
                    .map(|until| until.0.as_second());
                (status.password_version.clone(), until)
            });
            hash(&(life(user), condition(conditions, "Ready"), shown))
        },
        |reference| matches!(reference, Reference::User(_)),
    )
}

/// Wakes the sets that refer to what has changed. After a watch was cut off, what is no longer
/// listed is gone.
fn woken<K: Send + 'static>(
    desks: Arc<Desks>,
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    reference: impl Fn(&K) -> Reference + Send,
    state: impl Fn(&K) -> u64 + Send,
    of_kind: impl Fn(&Reference) -> bool + Send,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send {
    let mut there = HashSet::new();
    events.flat_map(move |event| {
        stream::iter(match event {
            Ok(Event::Init) => {
                there.clear();
                Woken::new()
            }
            Ok(Event::InitApply(object)) => {
                let at = reference(&object);
                let touched = desks.touched(&at, Some(state(&object)));
                there.insert(at);
                touched
            }
            Ok(Event::InitDone) => {
                let known = desks.referred(&of_kind).into_iter();
                let gone = known.filter(|at| !there.contains(at));
                gone.flat_map(|at| desks.touched(&at, None)).collect()
            }
            Ok(Event::Apply(object)) => desks.touched(&reference(&object), Some(state(&object))),
            Ok(Event::Delete(object)) => desks.touched(&reference(&object), None),
            Err(error) => failed(&error),
        })
    })
}

fn failed(error: &watcher::Error) -> Woken {
    tracing::debug!(%error, "a watch was cut off and is begun anew");
    Woken::new()
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn life(object: &impl ResourceExt) -> (Option<String>, Option<i64>, bool) {
    let meta = object.meta();
    let deleting = meta.deletion_timestamp.is_some();
    (meta.uid.clone(), meta.generation, deleting)
}

fn condition(
    conditions: Option<&[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]>,
    kind: &str,
) -> Option<(String, String)> {
    let found = conditions?
        .iter()
        .find(|condition| condition.type_ == kind)?;
    Some((found.status.clone(), found.reason.clone()))
}
