//! The controller of `MainstayBackup`.

mod job;
mod outcome;
mod single;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config};
use kube::runtime::{Controller, watcher};
use mainstay_operator_api::MainstayBackup;

use crate::context::Context;
use crate::metrics::Object;

const KIND: &str = "MainstayBackup";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: {source}")]
    Api {
        what: &'static str,
        source: Box<kube::Error>,
    },
    #[error("an object cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Error {
    fn api(what: &'static str) -> impl FnOnce(kube::Error) -> Error {
        move |source| Error::Api {
            what,
            source: Box::new(source),
        }
    }
}

/// Runs until `stop` resolves.
pub async fn run(
    context: Arc<Context>,
    namespace: Option<String>,
    concurrency: u16,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let scope = namespace.as_deref();
    let settings = Config::default().concurrency(concurrency);
    let all = watcher::Config::default;
    let api = context.api::<DeserializeGuard<MainstayBackup>>(scope);
    Controller::new(api, all())
        .with_config(settings)
        .owns(context.api::<Job>(scope), all().labels(&job::selector()))
        .graceful_shutdown_on(stop)
        .run(backup, failed, context.clone())
        .for_each(|_| async {})
        .await;
}

async fn backup(
    object: Arc<DeserializeGuard<MainstayBackup>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let Some(named) = begin(&object, &context) else {
        return Ok(Action::await_change());
    };
    let started = Instant::now();
    let outcome = single::pass(&context, &named).await;
    end(&context, KIND, named, started, outcome)
}

/// `None` if nothing may or can be done about it.
fn begin<K>(object: &DeserializeGuard<K>, context: &Context) -> Option<Object>
where
    K: Resource<DynamicType = ()>,
{
    let meta = object.meta();
    let named = Object {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    };
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

fn end(
    context: &Context,
    kind: &'static str,
    named: Object,
    started: Instant,
    outcome: Result<Option<Duration>, Error>,
) -> Result<Action, Error> {
    context
        .metrics
        .passed(kind, started.elapsed(), outcome.is_err());
    let after = outcome?;
    context.failures.succeeded(&(kind, named));
    Ok(after.map_or_else(Action::await_change, Action::requeue))
}

fn failed(
    object: Arc<DeserializeGuard<MainstayBackup>>,
    error: &Error,
    context: Arc<Context>,
) -> Action {
    let meta = object.meta();
    let named = Object {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    };
    tracing::warn!(backup = named.name, namespace = named.namespace, %error, "a pass failed");
    Action::requeue(context.failures.failed((KIND, named)))
}
