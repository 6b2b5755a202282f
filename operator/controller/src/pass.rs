//! One pass over one cluster: look, plan, tell, and carry out one step.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use mainstay_operator_act::render::Subject;
use mainstay_operator_act::{Actor, parts, step, tls};
use mainstay_operator_api::MainstayCluster;
use mainstay_operator_api::tls::TlsSource;
use mainstay_operator_observe::{Seen, Source, observe};
use mainstay_operator_plan::observed::{Leaf, MemberView, Observed, Plane, Problem, RestoreView};
use mainstay_operator_plan::step::{Plan, Step};

use crate::context::Context;
use crate::metrics::{Object, Step as StepLabel};
use crate::{events, labels, status};

/// Between two steps of one cluster: what the first has changed is read live, so no cache needs time
/// to follow.
const NEXT: Duration = Duration::from_millis(20);
/// When what a step was about has changed meanwhile.
const SOON: Duration = Duration::from_millis(500);

/// Between two looks while something around the cluster is wrong.
const MENDED: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Observe(#[from] mainstay_operator_observe::Error),
    #[error("{step}: {source}")]
    Step {
        step: &'static str,
        source: mainstay_operator_act::Error,
    },
    #[error("drift cannot be looked for: {0}")]
    Drift(mainstay_operator_act::Error),
    #[error("the cluster cannot be read: {0}")]
    Read(Box<kube::Error>),
    #[error("it took longer than {} s", .0.as_secs())]
    Slow(Duration),
    #[error("the status cannot be written: {0}")]
    Status(Box<kube::Error>),
}

/// When to look again; `None` once the cluster is gone.
pub async fn run(context: &Context, named: &Object) -> Result<Option<Duration>, Error> {
    let api = context.api::<MainstayCluster>(Some(&named.namespace));
    let found = api.get_opt(&named.name).await;
    let Some(cluster) = found.map_err(|error| Error::Read(Box::new(error)))? else {
        context.forget(named);
        return Ok(None);
    };
    let subject = Subject {
        name: &named.name,
        namespace: &named.namespace,
        uid: cluster.metadata.uid.as_deref().unwrap_or_default(),
        annotations: cluster.annotations(),
        spec: &cluster.spec,
        settings: &context.settings,
    };
    let mut seen = look(context, &cluster, &subject).await?;
    let trouble = context.troubles.lock().get(named).cloned();
    seen.observed.problems.extend(trouble);
    let plan = mainstay_operator_plan::plan(&seen.observed);
    measure(context, named, &seen.observed, &plan);
    status::write(context, named, &cluster, &plan.status)
        .await
        .map_err(|error| Error::Status(Box::new(error)))?;
    events::publish(&context.recorder, &cluster.object_ref(&()), &plan.events).await;
    let after = match &plan.step {
        // What is wrong may be mended by objects that no watch tells of, such as a user's Secret.
        None if !seen.observed.problems.is_empty() => plan.requeue.min(MENDED),
        None => plan.requeue,
        Some(step) => act(context, named, &subject, &cluster, &seen, step).await?,
    };
    if matches!(plan.step, Some(Step::RemoveFinalizer)) {
        // Nothing tells of a resource that is gone.
        context.ledger.forget(subject.uid);
        context.forget(named);
        return Ok(None);
    }
    let now = Timestamp::now().as_second() as f64;
    context.metrics.success.get_or_create(named).set(now);
    Ok(Some(after))
}

async fn look(
    context: &Context,
    cluster: &MainstayCluster,
    subject: &Subject<'_>,
) -> Result<Seen, Error> {
    let selector = mainstay_operator_act::labels::selector(subject.name);
    let leaves = leaves(subject);
    let names = Leaf::ALL
        .into_iter()
        .map(|leaf| (leaf, tls::request(subject, leaf).names));
    let names: BTreeMap<_, _> = names.collect();
    let authorities = match subject.spec.tls.source {
        TlsSource::Operator => Plane::ALL
            .into_iter()
            .map(|plane| (plane, tls::ca_secret(subject.name, plane)))
            .collect(),
        TlsSource::CertManager | TlsSource::Secrets => BTreeMap::new(),
    };
    let source = Source {
        client: &context.client,
        cluster,
        selector: &selector,
        leaves: &leaves,
        authorities: &authorities,
        names: &names,
        client_port: mainstay_operator_act::labels::CLIENT_PORT,
        probe_port: labels::METRICS_PORT,
    };
    let mut seen = observe(&source).await?;
    if let RestoreView::Ready(_) = seen.observed.restore
        && subject.settings.operator_image.is_none()
    {
        let reason = "the operator was started without --operator-image, which brings backups";
        seen.observed.restore = RestoreView::Missing(reason.to_owned());
    }
    let live = parts::Live {
        workload: seen.objects.workload.as_ref(),
        budget: seen.objects.budget.as_ref(),
    };
    let drift = parts::drift(
        &context.client,
        &context.ledger,
        subject,
        &seen.observed,
        live,
    );
    seen.observed.drift = drift.await.map_err(Error::Drift)?;
    Ok(seen)
}

/// The Secret of each certificate, whoever fills it.
fn leaves(subject: &Subject<'_>) -> BTreeMap<Leaf, String> {
    let names = subject.secrets();
    let mut leaves = BTreeMap::from([
        (Leaf::Server, names.server),
        (Leaf::Peer, names.peer),
        (Leaf::Operator, names.operator),
    ]);
    if subject.spec.tls.source != TlsSource::Secrets {
        leaves.insert(Leaf::Client, tls::leaf_secret(subject.name, Leaf::Client));
    }
    leaves
}

async fn act(
    context: &Context,
    named: &Object,
    subject: &Subject<'_>,
    cluster: &MainstayCluster,
    seen: &Seen,
    wanted: &Step,
) -> Result<Duration, Error> {
    let kind = step::kind(wanted);
    // It may have been lost while this pass was looking.
    if !context.leadership.holds() {
        return Ok(SOON);
    }
    let actor = Actor {
        client: &context.client,
        ledger: &context.ledger,
        subject: *subject,
        cluster,
        observed: &seen.observed,
        members: &seen.links,
        leader: seen.leader,
    };
    let outcome = actor.carry_out(wanted).await;
    context
        .metrics
        .steps
        .get_or_create(&StepLabel { step: kind })
        .inc();
    match outcome {
        Ok(()) => {
            tracing::info!(cluster = named.name, namespace = named.namespace,
                generation = seen.observed.cluster.generation, step = ?Shown(wanted), "carried out");
            context.troubles.lock().remove(named);
            Ok(pause(context, named, wanted))
        }
        Err(error) if error.is_change() => {
            tracing::debug!(cluster = named.name, step = kind, %error, "looking again");
            Ok(SOON)
        }
        Err(source) => {
            let problem = Problem {
                reason: source.reason(),
                message: format!("{kind}: {source}"),
            };
            context.troubles.lock().insert(named.clone(), problem);
            Err(Error::Step { step: kind, source })
        }
    }
}

/// A step that is decided over and over although it goes well has no effect; it is not let run hot.
fn pause(context: &Context, named: &Object, wanted: &Step) -> Duration {
    let text = format!("{wanted:?}");
    let mut repeats = context.repeats.lock();
    let (last, count) = repeats.entry(named.clone()).or_default();
    if *last == text {
        *count = count.saturating_add(1);
    } else {
        (*last, *count) = (text, 0);
    }
    NEXT.saturating_mul(2_u32.saturating_pow((*count).min(10)))
}

/// A step as the log shows it: a record is long and is in its ConfigMap.
struct Shown<'a>(&'a Step);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Step::WriteRecord(record) => {
                let phases = record.members.iter();
                let phases = phases.map(|(ordinal, member)| (ordinal, member.phase));
                f.write_str("WriteRecord ")?;
                f.debug_map().entries(phases).finish()
            }
            other => other.fmt(f),
        }
    }
}

fn measure(context: &Context, named: &Object, observed: &Observed, plan: &Plan) {
    let metrics = &context.metrics;
    let set = |family: &prometheus_client::metrics::family::Family<Object, _>, value: i64| {
        let gauge: &prometheus_client::metrics::gauge::Gauge = &family.get_or_create(named);
        gauge.set(value);
    };
    let listed = match &observed.members {
        MemberView::Known(members) => i64::try_from(members.list.len()).unwrap_or(i64::MAX),
        MemberView::Unknown(_) => i64::from(plan.status.replicas),
    };
    set(&metrics.members, listed);
    set(&metrics.ready, plan.status.ready_replicas.into());
    let quorum = matches!(&observed.members, MemberView::Known(members) if members.linearizable);
    set(&metrics.quorum, quorum.into());
    let leaves = observed.tls.leaves.values();
    if let Some(first) = leaves.map(|leaf| leaf.not_after).min() {
        metrics.expiry.get_or_create(named).set(first.as_second());
    }
}
