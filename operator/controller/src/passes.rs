//! What passes over resources other than clusters have in common: when one may begin, how it is
//! counted, when the next one comes, and the one condition that tells of it. Clusters share with them
//! which resources a change of another object concerns.

use std::fmt::Display;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};

use crate::context::Context;
use crate::metrics::Object;

/// `None` if nothing may or can be done about it.
pub fn begin<K>(object: &DeserializeGuard<K>, context: &Context) -> Option<Object>
where
    K: Resource<DynamicType = ()>,
{
    let named = named(object);
    if let Err(invalid) = &object.0 {
        tracing::warn!(
            object = named.name,
            error = invalid.error,
            "a resource cannot be read"
        );
        return None;
    }
    context.leadership.holds().then_some(named)
}

/// Resources of the same namespace that an object matters to, by its name.
pub fn referring<K, O>(
    known: &Store<DeserializeGuard<K>>,
    object: &O,
    matters: impl Fn(&K, &str) -> bool,
) -> Vec<ObjectRef<DeserializeGuard<K>>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
    O: ResourceExt,
{
    let (namespace, name) = (object.namespace(), object.name_any());
    let known = known.state();
    let concerned = known.iter().filter(|guarded| {
        let resource = guarded.0.as_ref().ok();
        resource
            .is_some_and(|resource| resource.namespace() == namespace && matters(resource, &name))
    });
    concerned
        .map(|guarded| ObjectRef::from_obj(&**guarded))
        .collect()
}

pub fn end<E>(
    context: &Context,
    kind: &'static str,
    named: Object,
    started: Instant,
    outcome: Result<Option<Duration>, E>,
) -> Result<Action, E> {
    context
        .metrics
        .passed(kind, started.elapsed(), outcome.is_err());
    let after = outcome?;
    context.failures.succeeded(&(kind, named));
    Ok(after.map_or_else(Action::await_change, Action::requeue))
}

pub fn failed<K>(
    kind: &'static str,
    object: &DeserializeGuard<K>,
    error: &impl Display,
    context: &Context,
) -> Action
where
    K: Resource<DynamicType = ()>,
{
    let named = named(object);
    tracing::warn!(kind, object = named.name, namespace = named.namespace, %error, "a pass failed");
    Action::requeue(context.failures.failed((kind, named)))
}

pub fn named<K>(object: &DeserializeGuard<K>) -> Object
where
    K: Resource<DynamicType = ()>,
{
    let meta = object.meta();
    Object {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}

/// The one condition of such an object; its time is that of the last change of its truth.
pub fn condition<'a>(
    before: impl IntoIterator<Item = &'a Condition>,
    object: &impl Resource<DynamicType = ()>,
    kind: &str,
    (truth, reason): (&str, &str),
    message: String,
) -> Condition {
    let same = before.into_iter().find(|known| known.status == truth);
    Condition {
        type_: kind.to_owned(),
        status: truth.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: match same {
            Some(known) => known.last_transition_time.clone(),
            None => Time(Timestamp::now()),
        },
        observed_generation: object.meta().generation,
    }
}
