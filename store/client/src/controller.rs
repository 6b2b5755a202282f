//! The reconcile loop: what is wanted is compared with what is, one object at a time, whenever
//! either has changed, until they are the same.
//!
//! The terms are those of kube-rs and controller-runtime. A *trigger* is the name of an object that
//! something has happened to; the *queue* holds each name once, and never hands out a name that is
//! being reconciled. The library knows what changed, the function that reconciles must not: it looks
//! at the object and makes it so.
//!
//! ```no_run
#![doc = include_str!("../examples/replicas.rs")]
//! ```

mod leading;
mod metrics;
mod objects;
mod queue;
mod runner;
mod signals;
mod source;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mainstay_proto::mvccpb::KeyValue;
use tracing::Instrument;

use crate::error::Error;
use crate::reflector::Reflector;
use crate::resource::{Object, Resource, Resources, Role};
pub use leading::Post;
pub use metrics::Metrics;
pub use objects::Objects;
pub use queue::{Limits, Next, Queue};
use runner::Runner;
use source::Sources;

/// Reconciles at once unless [`Controller::concurrency`] says otherwise.
const CONCURRENCY: usize = 8;
/// How long a controller that stops waits for what it is doing.
const GRACE: Duration = Duration::from_secs(30);

/// What is to happen to an object after a reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing, until something happens to it.
    AwaitChange,
    /// The same again after this time, if nothing happens before.
    RequeueAfter(Duration),
    /// The same again, later each time that it ends so.
    BackOff,
}

/// Triggers reconciles and runs them.
#[must_use]
pub struct Controller<R: Resource> {
    resources: Resources<R>,
    objects: Objects<R>,
    sources: Sources,
    limits: Limits,
    concurrency: usize,
    metrics: Metrics,
    stop: BoxFuture<'static, ()>,
    post: Option<Post>,
}

impl<R: Resource> Controller<R> {
    /// Reconciles an object whenever what is wanted of it has changed, or who holds it; not when a
    /// status was told.
    pub fn new(resources: Resources<R>) -> Controller<R> {
        let reflector = resources.reflect();
        let objects = Objects::new(reflector.cache(), resources.parts().clone());
        Controller {
            sources: Sources::new(reflector, resources.parts().clone()),
            resources,
            objects,
            limits: Limits::default(),
            concurrency: CONCURRENCY,
            metrics: Metrics::default(),
            stop: Box::pin(std::future::pending()),
            post: None,
        }
    }

    /// The objects as this controller knows them, to read from anywhere.
    pub fn objects(&self) -> Objects<R> {
        self.objects.clone()
    }

    /// Reconciles the owner of an object of another kind when that one has changed.
    pub fn owns<C: Resource>(
        self,
        children: &Resources<C>,
        owner: impl Fn(&Object<C>) -> Option<String> + Send + Sync + 'static,
    ) -> Controller<R> {
        let reflector = children.reflect();
        let theirs = Objects::<C>::new(reflector.cache(), children.parts().clone());
        let parts = children.parts().clone();
        self.watches(reflector, move |kv| {
            let name = parts.read(&kv.key).map(|(_, name)| name);
            // One that is gone is told by what it was.
            let child = name.and_then(|name| theirs.get(name).or_else(|| theirs.alone(name, kv)));
            child.and_then(|child| owner(&child)).into_iter().collect()
        })
    }

    /// Reconciles the objects that `triggers` names for a key that has changed, as it is now and as
    /// it was before.
    pub fn watches(
        mut self,
        keys: Reflector,
        triggers: impl Fn(&KeyValue) -> Vec<String> + Send + Sync + 'static,
    ) -> Controller<R> {
        self.sources.add(Arc::new(triggers), keys);
        self
    }

    /// Which changes of the objects themselves count, by which of their keys has changed. By default
    /// all but those of the status, which is the controller's own word.
    pub fn on_status_too(mut self) -> Controller<R> {
        self.sources.count([Role::Spec, Role::Held, Role::Status]);
        self
    }

    /// Back-off and rate.
    pub fn limits(mut self, limits: Limits) -> Controller<R> {
        self.limits = limits;
        self
    }

    /// How many objects are reconciled at once; 8 unless said.
    pub fn concurrency(mut self, objects: usize) -> Controller<R> {
        self.concurrency = objects.max(1);
        self
    }

    pub fn metrics(mut self, metrics: Metrics) -> Controller<R> {
        self.metrics = metrics;
        self
    }

    /// Stops when `stop` comes: nothing new is begun, and what is under way has 30 seconds.
    pub fn until(mut self, stop: impl Future<Output = ()> + Send + 'static) -> Controller<R> {
        self.stop = Box::pin(stop);
        self
    }

    /// The same at SIGTERM or ctrl-c, for a program that is nothing but a controller. Once it runs,
    /// neither signal ends the process by itself any longer.
    pub fn until_signal(self) -> Controller<R> {
        self.until(signals::told())
    }

    /// Reconciles only while this replica holds the post: of many that run, one does.
    pub fn leading(mut self, post: Post) -> Controller<R> {
        self.post = Some(post);
        self
    }

    /// Runs until it is told to stop. An error of `reconcile` is handed to `error_policy`.
    ///
    /// # Errors
    /// [`Error::Refused`] if the user may not read what is watched.
    pub async fn run<X, F, E>(
        self,
        reconcile: impl Fn(Arc<Object<R>>, Arc<X>) -> F + Send + Sync,
        error_policy: impl Fn(Arc<Object<R>>, &E, Arc<X>) -> Action + Send + Sync,
        context: Arc<X>,
    ) -> Result<(), Error>
    where
        X: Send + Sync,
        F: Future<Output = Result<Action, E>> + Send,
        E: std::fmt::Display + Send,
    {
        let (objects, metrics) = (self.objects, self.metrics);
        let resources = self.resources;
        let begin = |name: String| {
            let object = objects.look(&name);
            let (context, metrics, resources) =
                (context.clone(), metrics.clone(), resources.clone());
            let (reconcile, error_policy) = (&reconcile, &error_policy);
            async move {
                match object {
                    objects::Looked::There(object) => {
                        let asked = std::time::Instant::now();
                        let span = tracing::info_span!(
                            "reconcile",
                            kind = R::KIND,
                            name,
                            generation = object.generation
                        );
                        let reconciled = reconcile(object.clone(), context.clone());
                        let result = reconciled.instrument(span).await;
                        metrics.reconciled(asked.elapsed(), result.is_ok());
                        match result {
                            Ok(action) => action,
                            Err(error) => {
                                tracing::warn!(kind = R::KIND, name, %error, "reconcile failed");
                                error_policy(object, &error, context)
                            }
                        }
                    }
                    objects::Looked::Orphan(status_at) => {
                        match resources.sweep(&name, status_at).await {
                            Ok(()) => Action::AwaitChange,
                            Err(_) => Action::BackOff,
                        }
                    }
                    objects::Looked::Gone => Action::AwaitChange,
                    objects::Looked::Broken(error) => {
                        tracing::warn!(kind = R::KIND, name, %error, "object cannot be read");
                        metrics.broken();
                        Action::AwaitChange
                    }
                }
            }
        };
        let runner = Runner {
            triggers: self.sources,
            queue: Queue::new(self.limits),
            concurrency: self.concurrency,
            grace: GRACE,
            metrics: &metrics,
            begin,
        };
        match self.post {
            None => runner.run(self.stop).await,
            Some(post) => leading::run(post, runner, self.stop).await,
        }
    }
}
