//! The parts of a cluster as they are to be, and which of them are not.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use mainstay_operator_api::tls::TlsSource;
use mainstay_operator_plan::disruption;
use mainstay_operator_plan::observed::Observed;
use mainstay_operator_plan::record::Record;
use mainstay_operator_plan::step::Part;
use serde_json::Value;

use crate::apply::Wanted;
use crate::error::Error;
use crate::ledger::Ledger;
use crate::render::workload::{CLAIM, Shape};
use crate::render::{Subject, budget, certificates, services, workload};

/// Those that depend on the spec alone.
const SIMPLE: [Part; 3] = [Part::PeerService, Part::ClientService, Part::LeaderService];

/// What the API server has of those parts whose content depends on what is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live<'a> {
    pub workload: Option<&'a StatefulSet>,
    pub budget: Option<&'a PodDisruptionBudget>,
}

/// The objects of a part that depends on the spec alone; none for the others.
pub fn simple(subject: &Subject<'_>, part: Part) -> Result<Vec<Wanted>, Error> {
    let service = match part {
        Part::PeerService => services::peer(subject),
        Part::ClientService => services::client(subject),
        Part::LeaderService => services::leader(subject),
        Part::Certificates => return Ok(certificates::render(subject)),
        Part::Workload | Part::DisruptionBudget => return Ok(Vec::new()),
    };
    Ok(vec![Wanted::of(&service)?])
}

/// How many members a drain must leave; `None` for no budget. A cluster without a record has no pods.
pub fn min_available(observed: &Observed) -> Option<u32> {
    disruption::min_available(&observed.record.as_ref()?.record)
}

/// What the StatefulSet takes from the one that is there; a new one gets the record's pods.
pub fn shape(subject: &Subject<'_>, observed: &Observed, live: Option<&StatefulSet>) -> Shape {
    let spec = live.and_then(|live| live.spec.as_ref());
    let replicas = spec.and_then(|spec| u32::try_from(spec.replicas?).ok());
    let record = observed.record.as_ref().map(|kept| &kept.record);
    let pods = record.map(Record::pods);
    // What is no reference of ours brings nothing, and the member says that its snapshot is missing.
    let restore = record.and_then(Record::restoring);
    let restore = restore.and_then(|text| serde_json::from_str(text).ok());
    Shape {
        replicas: replicas.or(pods).unwrap_or(0),
        storage: live
            .and_then(requested)
            .unwrap_or_else(|| subject.spec.storage.size.clone()),
        restore,
    }
}

/// What the template of claims asks for.
pub fn requested(live: &StatefulSet) -> Option<String> {
    let templates = live.spec.as_ref()?.volume_claim_templates.as_ref()?;
    let claim = templates
        .iter()
        .find(|claim| claim.metadata.name.as_deref() == Some(CLAIM))?;
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage").map(|quantity| quantity.0.clone())
}

/// A number of replicas that differs has a step of its own.
pub fn without_replicas(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("replicas");
    }
    object
}

/// The parts that are missing, or are not as they were left.
pub async fn drift(
    client: &Client,
    ledger: &Ledger,
    subject: &Subject<'_>,
    observed: &Observed,
    live: Live<'_>,
) -> Result<Vec<Part>, Error> {
    let mut drift = Vec::new();
    let mut parts = SIMPLE.to_vec();
    if subject.spec.tls.source == TlsSource::CertManager {
        parts.push(Part::Certificates);
    }
    for part in parts {
        for wanted in simple(subject, part)? {
            let found = wanted.api(client).get_metadata_opt(&wanted.name).await;
            let what = format!("{} {}", wanted.resource.kind, wanted.name);
            let found = found.map_err(Error::api(what))?;
            let meta = found.as_ref().map(|found| &found.metadata);
            if !holds(ledger, subject, &wanted, &wanted.object, meta) {
                drift.push(part);
                break;
            }
        }
    }
    let meta = live.budget.map(|budget| &budget.metadata);
    let holds_budget = match min_available(observed) {
        None => meta.is_none(),
        Some(least) => {
            let wanted = Wanted::of(&budget::render(subject, least))?;
            holds(ledger, subject, &wanted, &wanted.object, meta)
        }
    };
    if !holds_budget {
        drift.push(Part::DisruptionBudget);
    }
    let shape = shape(subject, observed, live.workload);
    let wanted = Wanted::of(&workload::render(subject, &shape))?;
    let object = without_replicas(&wanted.object);
    let meta = live.workload.map(|workload| &workload.metadata);
    if !holds(ledger, subject, &wanted, &object, meta) {
        drift.push(Part::Workload);
    }
    Ok(drift)
}

fn holds(
    ledger: &Ledger,
    subject: &Subject<'_>,
    wanted: &Wanted,
    object: &Value,
    found: Option<&ObjectMeta>,
) -> bool {
    found.is_some_and(|found| ledger.holds(subject.uid, &wanted.key(), object, found))
}
