//! The controller of `MainstayCluster`: what triggers a pass, and what follows from its outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::{Action, Config, Error as ControllerError};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Resource, ResourceExt};
use mainstay_operator_act::render::secret_names;
use mainstay_operator_api::MainstayCluster;
use tokio::time::timeout;

use crate::context::Context;
use crate::labels;
use crate::metrics::{Kind, Object};
use crate::pass::{self, Error};
use crate::passes::referring;

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
    let all = watcher::Config::default;
    let clusters = Controller::new(context.api::<Guarded>(scope), all());
    let known = clusters.store();
    clusters
        .with_config(settings)
        .owns(context.api::<StatefulSet>(scope), own())
        .owns(context.api::<Service>(scope), own())
        .owns(context.api::<ConfigMap>(scope), own())
        .owns(context.api::<PodDisruptionBudget>(scope), own())
        .owns(context.api::<Secret>(scope), own())
        // Pods belong to the StatefulSet and claims to nobody: both name the cluster in a label.
        .watches(context.api::<Pod>(scope), own(), labelled)
        .watches(context.api::<PersistentVolumeClaim>(scope), own(), labelled)
        // What people and cert-manager write has no label. Of all Secrets, without what they hold.
        .watches(
            context.api::<PartialObjectMeta<Secret>>(scope),
            all(),
            move |secret: PartialObjectMeta<Secret>| referring(&known, &secret, needs),
        )
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

/// The password of root, or a certificate.
fn needs(cluster: &MainstayCluster, secret: &str) -> bool {
    let spec = &cluster.spec;
    let names = secret_names(&cluster.name_any(), spec);
    let certificates = [names.server, names.peer, names.operator];
    let root = spec.auth.as_ref().map(|auth| &auth.root_secret);
    root.is_some_and(|root| root == secret) || certificates.iter().any(|name| name == secret)
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cluster(name: &str, spec: Value) -> MainstayCluster {
        serde_json::from_value(json!({
            "apiVersion": "mainstay.dev/v1alpha1", "kind": "MainstayCluster",
            "metadata": {"name": name, "namespace": "n"}, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn a_cluster_needs_the_secrets_that_its_spec_names_and_those_of_its_certificates() {
        let given = json!({"server": "a", "peer": "b", "operator": "c"});
        let given = cluster(
            "given",
            json!({"tls": {"source": "Secrets", "secrets": given}, "auth": {"rootSecret": "root"}}),
        );
        for name in ["a", "b", "c", "root"] {
            assert!(needs(&given, name), "{name}");
        }
        assert!(!needs(&given, "given-server-tls") && !needs(&given, "other"));
        let own = cluster("own", json!({}));
        assert!(needs(&own, "own-server-tls") && !needs(&own, "a") && !needs(&own, "root"));
    }
}
