//! The controller of `MainstayCluster`: what triggers a pass, and what follows from its outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config, Error as ControllerError};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Resource, ResourceExt};
use mainstay_operator_api::MainstayCluster;
use tokio::time::timeout;

use crate::context::Context;
use crate::labels;
use crate::metrics::{Kind, Object};
use crate::pass::{self, Error};

const KIND: &str = "MainstayCluster";
/// A burst of changes is one pass.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// A pass that takes longer is given up, so that no cluster holds up others for good.
const LONGEST: Duration = Duration::from_secs(180);

type Guarded = DeserializeGuard<MainstayCluster>;

/// Runs until `stop` resolves and the passes under way have ended.
pub async fn run(
    context: Arc<Context>,
    namespace: Option<String>,
    concurrency: u16,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let scope = namespace.as_deref();
    let own = || watcher::Config::default().labels(&labels::selector());
    let settings = Config::default()
        .concurrency(concurrency)
        .debounce(DEBOUNCE);
    Controller::new(context.api::<Guarded>(scope), watcher::Config::default())
        .with_config(settings)
        .owns(context.api::<StatefulSet>(scope), own())
        .owns(context.api::<Service>(scope), own())
        .owns(context.api::<ConfigMap>(scope), own())
        .owns(context.api::<PodDisruptionBudget>(scope), own())
        .owns(context.api::<Secret>(scope), own())
        // Pods belong to the StatefulSet and claims to nobody: both name the cluster in a label.
        .watches(context.api::<Pod>(scope), own(), labelled)
        .watches(context.api::<PersistentVolumeClaim>(scope), own(), labelled)
        .graceful_shutdown_on(stop)
        .run(reconcile, failed, context.clone())
        .for_each(|outcome| async move {
            match outcome {
                Ok((object, _)) => tracing::debug!(object = object.name, "passed"),
                // The object is gone, and something of it has changed since.
                Err(ControllerError::ObjectNotFound(_)) => {}
                Err(error) => tracing::debug!(%error, "a pass failed"),
            }
        })
        .await;
}

fn labelled<K: ResourceExt>(object: K) -> Option<ObjectRef<Guarded>> {
    let cluster = object.labels().get(labels::INSTANCE)?;
    let namespace = object.namespace()?;
    Some(ObjectRef::new(cluster).within(&namespace))
}

async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let named = name(&object);
    if let Err(invalid) = &object.0 {
        tracing::warn!(
            object = named.name,
            namespace = named.namespace,
            error = invalid.error,
            "a resource cannot be read and is left alone"
        );
        context.metrics.passed(KIND, Duration::ZERO, true);
        return Ok(Action::await_change());
    }
    if !context.leadership.holds() {
        // Whoever holds the Lease now does it.
        return Ok(Action::await_change());
    }
    let kind = Kind {
        kind: KIND.to_owned(),
    };
    let running = context.metrics.running.get_or_create(&kind).clone();
    running.inc();
    let started = Instant::now();
    let outcome = match timeout(LONGEST, pass::run(&context, &named)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Slow(LONGEST)),
    };
    running.dec();
    let failed = outcome.is_err();
    context.metrics.passed(KIND, started.elapsed(), failed);
    let after = outcome?;
    context.failures.succeeded(&(KIND, named));
    Ok(match after {
        Some(after) => Action::requeue(after),
        None => Action::await_change(),
    })
}

fn failed(object: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    let named = name(&object);
    let after = context.failures.failed((KIND, named.clone()));
    tracing::warn!(
        cluster = named.name,
        namespace = named.namespace,
        %error,
        again_in_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        "a pass failed"
    );
    Action::requeue(after)
}

fn name(object: &Guarded) -> Object {
    let meta = object.meta();
    Object {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}
