//! The controllers of `MainstayBackup` and `MainstayBackupSchedule`.

mod job;
mod outcome;
mod schedule;
mod single;

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::Resource as _;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use mainstay_operator_api::{MainstayBackup, MainstayBackupSchedule};

use crate::context::Context;
use crate::passes::{begin, end, failed};

const KIND: &str = "MainstayBackup";
const SCHEDULE_KIND: &str = "MainstayBackupSchedule";
/// On backups that a schedule has made: its name.
pub const SCHEDULE: &str = "mainstay.dev/schedule";

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
    /// Whether an object is refused because its namespace is being deleted.
    fn is_ending(&self) -> bool {
        let Error::Api { source, .. } = self else {
            return false;
        };
        matches!(&**source, kube::Error::Api(status)
            if status.code == 403 && status.message.contains("being terminated"))
    }

    fn api(what: &'static str) -> impl FnOnce(kube::Error) -> Error {
        move |source| Error::Api {
            what,
            source: Box::new(source),
        }
    }
}

/// Runs both until `stop` resolves.
pub async fn run(
    context: Arc<Context>,
    namespace: Option<String>,
    concurrency: u16,
    stop: impl Future<Output = ()> + Clone + Send + Sync + 'static,
) {
    let scope = namespace.as_deref();
    let settings = || Config::default().concurrency(concurrency);
    let all = watcher::Config::default;
    let api = context.api::<DeserializeGuard<MainstayBackup>>(scope);
    let backups = Controller::new(api, all())
        .with_config(settings())
        .owns(context.api::<Job>(scope), all().labels(&job::selector()))
        .graceful_shutdown_on(stop.clone())
        .run(
            backup,
            |object, error, context| failed(KIND, &object, error, &context),
            context.clone(),
        )
        .for_each(|_| async {});
    let api = context.api::<DeserializeGuard<MainstayBackupSchedule>>(scope);
    let of_schedule = |backup: DeserializeGuard<MainstayBackup>| {
        let name = backup.meta().labels.as_ref()?.get(SCHEDULE)?.clone();
        Some(ObjectRef::new(&name).within(backup.meta().namespace.as_deref()?))
    };
    let schedules = Controller::new(api, all())
        .with_config(settings())
        .watches(context.api(scope), all().labels(SCHEDULE), of_schedule)
        .graceful_shutdown_on(stop)
        .run(
            schedule,
            |object, error, context| failed(SCHEDULE_KIND, &object, error, &context),
            context.clone(),
        )
        .for_each(|_| async {});
    tokio::join!(backups, schedules);
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

async fn schedule(
    object: Arc<DeserializeGuard<MainstayBackupSchedule>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let Some(named) = begin(&object, &context) else {
        return Ok(Action::await_change());
    };
    let started = Instant::now();
    let outcome = schedule::pass(&context, &named).await;
    end(&context, SCHEDULE_KIND, named, started, outcome)
}
