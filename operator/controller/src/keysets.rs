//! The controller of `MainstayKeySet`: keys that are declared in Kubernetes and kept in a cluster. Both
//! sides are watched: the resources that a set is made of (`related.rs`), and its keys (`follow.rs`).
//!
//! A pass (`pass.rs`) reads what is declared (`sources.rs`, `wanted.rs`, `template.rs`) and makes the
//! keys so (`keep.rs`): it asks who has which key (`claims.rs`, `roster.rs`), compares what is declared
//! with what is there (`compare.rs`) and writes the difference (`store.rs`). After a drift it asks the
//! API server nothing: `desk.rs` has at hand what it needs.

mod claims;
mod compare;
mod desk;
mod fights;
mod follow;
mod keep;
mod pass;
mod related;
mod removal;
mod report;
mod roster;
mod sources;
mod store;
mod template;
mod wanted;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::channel::mpsc;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::controller::{Action, Config};
use kube::runtime::{Controller, watcher};
use tokio::time::timeout;

use crate::context::Context;
use crate::passes;
use desk::{Desks, Guarded};
use wanted::Kind;

const KIND: &str = "MainstayKeySet";
/// A pass that takes longer is given up, so that no set holds up others for good.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: {source}")]
    Api {
        what: &'static str,
        source: Box<kube::Error>,
    },
    #[error("it took longer than {} s", .0.as_secs())]
    Slow(Duration),
}

impl Error {
    fn api(what: &'static str) -> impl FnOnce(kube::Error) -> Error {
        move |source| Error::Api {
            what,
            source: Box::new(source),
        }
    }
}

/// Runs until `stop` resolves and the passes under way have ended.
pub async fn run(
    context: Arc<Context>,
    namespace: Option<String>,
    concurrency: u16,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let (trigger, triggers) = mpsc::unbounded();
    let desks = Arc::new(Desks::new(context.clone(), trigger));
    let scope = namespace.as_deref();
    let maps = related::sources::<ConfigMap>(desks.clone(), context.api(scope), Kind::ConfigMap);
    let secrets = related::sources::<Secret>(desks.clone(), context.api(scope), Kind::Secret);
    Controller::new(context.api::<Guarded>(scope), watcher::Config::default())
        .with_config(Config::default().concurrency(concurrency))
        .reconcile_on(triggers)
        .reconcile_on(related::sets(desks.clone(), context.api(scope)))
        .reconcile_on(related::clusters(desks.clone(), context.api(scope)))
        .reconcile_on(related::users(desks.clone(), context.api(scope)))
        .reconcile_on(maps)
        .reconcile_on(secrets)
        .graceful_shutdown_on(stop)
        .run(
            reconcile,
            |object, error, desks| passes::failed(KIND, &object, error, &desks.context),
            desks.clone(),
        )
        .for_each(|_| async {})
        .await;
    desks.close().await;
}

async fn reconcile(object: Arc<Guarded>, desks: Arc<Desks>) -> Result<Action, Error> {
    let context = &desks.context;
    let (Some(named), Ok(set)) = (passes::begin(&object, context), &object.0) else {
        return Ok(Action::await_change());
    };
    let started = Instant::now();
    let outcome = match timeout(LONGEST, pass::run(&desks, set, &named)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            desks.desk(&named).stir();
            Err(Error::Slow(LONGEST))
        }
    };
    passes::end(context, KIND, named, started, outcome)
}
