//! The whole picture of one cluster.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod as ApiPod};
use kube::{Client, ResourceExt};
use mainstay_operator_api::{FINALIZER, MainstayCluster};
use mainstay_operator_member::pb::StatusResponse;
use mainstay_operator_member::{Credentials, Member as Link};
use mainstay_operator_plan::observed::{
    Alarm, AlarmKind, AuthView, Cluster, Leaf, LogEnd, Member, MemberStatus, MemberView, Members,
    Observed, Plane, Probe, RestoreView, Workload,
};
use mainstay_operator_plan::record::Record;
use mainstay_operator_plan::{observed::Kept, step::Part};

use crate::members::{self, Answer, Asked};
use crate::objects::{self, Objects, Place};
use crate::{Error, certificates, login, pods, problems, restore, volumes};

/// Key of the record in the ConfigMap of members.
const RECORD: &str = "record.json";

/// Where to look, and what names to look for.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub client: &'a Client,
    /// As it is now.
    pub cluster: &'a MainstayCluster,
    /// Label selector of the cluster's objects.
    pub selector: &'a str,
    /// The Secrets of certificates.
    pub leaves: &'a BTreeMap<Leaf, String>,
    /// Those of authorities; none if somebody else signs.
    pub authorities: &'a BTreeMap<Plane, String>,
    /// The names that each certificate must have.
    pub names: &'a BTreeMap<Leaf, Vec<String>>,
    pub client_port: u16,
    pub probe_port: u16,
}

/// The picture, and what a step needs beside it.
#[derive(Debug)]
pub struct Seen {
    pub observed: Observed,
    pub objects: Objects,
    /// Connections to the members that answered, by id.
    pub links: BTreeMap<u64, Link>,
    pub leader: Option<u64>,
}

/// Looks at everything now.
pub async fn observe(source: &Source<'_>) -> Result<Seen, Error> {
    let cluster = source.cluster;
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    let mut named: Vec<String> = source.leaves.values().cloned().collect();
    named.extend(
        cluster
            .spec
            .auth
            .iter()
            .map(|auth| auth.root_secret.clone()),
    );
    let place = Place {
        name: &name,
        namespace: &namespace,
        selector: source.selector,
        secrets: &named,
    };
    let objects = objects::read(source.client, &place).await?;
    let record = objects.members.as_ref().map(record).transpose()?.flatten();
    let credentials = credentials(source, &objects);
    let asked = asked(source, &objects, &name, &namespace);
    let answers = members::ask(&asked, credentials.as_ref().ok()).await;
    let mut members = view(&answers).await;
    if let (MemberView::Unknown(reason), Err(why)) = (&mut members, &credentials) {
        reason.clone_from(why);
    }
    let (auth, password) = match &cluster.spec.auth {
        None => (AuthView::Unknown, None),
        Some(spec) => login::look(spec, &objects, record.as_ref(), &answers).await,
    };
    let pods = pods::read(source.client, &objects.pods).await;
    let problems = problems::find(source, &objects, &pods).await;
    let leader = leader(&answers);
    // What a cluster began with is decided once.
    let restore = match &record {
        Some(_) => RestoreView::None,
        None => restore::read(source.client, cluster).await,
    };
    let observed = Observed {
        now: Timestamp::now(),
        cluster: identity(cluster),
        spec: cluster.spec.clone(),
        status: cluster.status.clone(),
        record,
        drift: Vec::<Part>::new(),
        workload: objects.workload.as_ref().map(workload),
        volumes: volumes::read(&objects.volumes),
        probes: probes(&answers, &objects),
        tls: certificates::read(source, &objects, &answers),
        auth,
        password,
        restore,
        members,
        pods,
        problems,
    };
    let links = answers.into_values().filter_map(link).collect();
    Ok(Seen {
        observed,
        objects,
        links,
        leader,
    })
}

fn identity(cluster: &MainstayCluster) -> Cluster {
    let meta = &cluster.metadata;
    Cluster {
        name: cluster.name_any(),
        namespace: cluster.namespace().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        deleting: meta.deletion_timestamp.is_some(),
        finalizer: cluster.finalizers().iter().any(|known| known == FINALIZER),
        annotations: cluster.annotations().clone(),
    }
}

/// Without the key there is none; with one that cannot be read nothing may be done.
fn record(map: &ConfigMap) -> Result<Option<Kept>, Error> {
    let Some(text) = map.data.as_ref().and_then(|data| data.get(RECORD)) else {
        return Ok(None);
    };
    let record: Record =
        serde_json::from_str(text).map_err(|error| Error::Record(error.to_string()))?;
    Ok(Some(Kept {
        record,
        version: map.resource_version().unwrap_or_default(),
    }))
}

fn workload(set: &k8s_openapi::api::apps::v1::StatefulSet) -> Workload {
    let meta = &set.metadata;
    let spec = set.spec.clone().unwrap_or_default();
    let status = set.status.clone().unwrap_or_default();
    let current = status.observed_generation >= meta.generation;
    let claim = spec.volume_claim_templates.unwrap_or_default();
    let request = claim.first().and_then(|claim| {
        let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
        volumes::bytes(requests.get("storage")?)
    });
    Workload {
        uid: meta.uid.clone().unwrap_or_default(),
        replicas: spec
            .replicas
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(1),
        update_revision: match current {
            true => status.update_revision.unwrap_or_default(),
            false => String::new(),
        },
        storage_request: request.unwrap_or(0),
        deleting: meta.deletion_timestamp.is_some(),
    }
}

fn credentials(source: &Source<'_>, objects: &Objects) -> Result<Credentials, String> {
    let name = source
        .leaves
        .get(&Leaf::Operator)
        .cloned()
        .unwrap_or_default();
    let secret = objects.secrets.get(&name);
    let data = secret.and_then(|secret| secret.data.as_ref());
    let data = data.ok_or_else(|| format!("the Secret {name} is not there yet"))?;
    let part = |key: &str| {
        let bytes = data.get(key).map(|bytes| bytes.0.as_slice());
        bytes.ok_or_else(|| format!("the Secret {name} has no {key}"))
    };
    let (ca, certificate, key) = (part("ca.crt")?, part("tls.crt")?, part("tls.key")?);
    Credentials::from_pem(ca, certificate, key)
        .map_err(|error| format!("the Secret {name} cannot be used: {error}"))
}

/// The pods that have an address and run.
fn asked(source: &Source<'_>, objects: &Objects, name: &str, namespace: &str) -> Vec<Asked> {
    let with_address = objects.pods.iter().filter_map(|(ordinal, pod)| {
        let address = address(pod)?;
        Some(Asked {
            ordinal: *ordinal,
            client: SocketAddr::new(address, source.client_port),
            probes: SocketAddr::new(address, source.probe_port),
            host: format!("{name}-{ordinal}.{name}-peer.{namespace}.svc"),
        })
    });
    with_address.collect()
}

fn address(pod: &ApiPod) -> Option<IpAddr> {
    let status = pod.status.as_ref()?;
    let running = status.phase.as_deref() == Some("Running");
    running
        .then(|| status.pod_ip.as_ref()?.parse().ok())
        .flatten()
}

/// Puts the answers together; contradictions make it unknown.
async fn view(answers: &BTreeMap<u32, Answer>) -> MemberView {
    let (list, linearizable) = match members::list(answers).await {
        Ok(found) => found,
        Err(reason) => return MemberView::Unknown(reason),
    };
    let cluster_id = list.header.as_ref().map_or(0, |header| header.cluster_id);
    let mut status = BTreeMap::new();
    for answer in answers.values() {
        let Ok(found) = &answer.status else { continue };
        let Some(header) = &found.header else {
            continue;
        };
        if header.cluster_id != cluster_id {
            let (one, other) = (header.cluster_id, cluster_id);
            return MemberView::Unknown(format!(
                "members answer for different clusters, {one:x} and {other:x}"
            ));
        }
        status.insert(header.member_id, member_status(found, answer));
    }
    MemberView::Known(Members {
        cluster_id,
        linearizable,
        list: list.members.into_iter().map(listed).collect(),
        status,
    })
}

fn listed(member: mainstay_operator_member::pb::Member) -> Member {
    Member {
        id: member.id,
        name: member.name,
        peer_urls: member.peer_ur_ls,
        client_urls: member.client_ur_ls,
        learner: member.is_learner,
    }
}

fn member_status(found: &StatusResponse, answer: &Answer) -> MemberStatus {
    let size = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    let alarms = members::alarms(found)
        .into_iter()
        .filter_map(|(member, kind)| {
            let kind = match kind.as_str() {
                "NOSPACE" => AlarmKind::NoSpace,
                "CORRUPT" => AlarmKind::Corrupt,
                _ => return None,
            };
            Some(Alarm { member, kind })
        });
    MemberStatus {
        version: found.version.clone(),
        leader: found.leader,
        term: found.raft_term,
        applied: found.raft_applied_index,
        revision: found.header.as_ref().map_or(0, |header| header.revision),
        compacted: answer
            .metrics
            .as_ref()
            .map_or(0, |metrics| metrics.compacted),
        db_size: size(found.db_size),
        db_size_in_use: size(found.db_size_in_use),
        learner: found.is_learner,
        alarms: alarms.collect(),
    }
}

/// The leader by the latest term that anybody knows of.
fn leader(answers: &BTreeMap<u32, Answer>) -> Option<u64> {
    let known = answers
        .values()
        .filter_map(|answer| answer.status.as_ref().ok());
    let latest = known.max_by_key(|status| status.raft_term)?;
    (latest.leader != 0).then_some(latest.leader)
}

fn probes(answers: &BTreeMap<u32, Answer>, objects: &Objects) -> BTreeMap<u32, Probe> {
    let mut probes = BTreeMap::new();
    for (ordinal, answer) in answers {
        let Ok(unready) = &answer.unready else {
            continue;
        };
        let part = answer.part.as_ref().ok();
        let role = part.and_then(|part| part.role.label()).unwrap_or("none");
        let pod = objects.pods.get(ordinal);
        let probe = Probe {
            pod_uid: pod.and_then(ResourceExt::uid).unwrap_or_default(),
            id: part.map_or(0, |part| part.id),
            role: role.to_owned(),
            term: part.map_or(0, |part| part.term),
            ready: unready.is_none(),
            reason: unready.clone(),
            log: part.and_then(|part| part.log).map(|log| LogEnd {
                term: log.term,
                index: log.index,
            }),
        };
        probes.insert(*ordinal, probe);
    }
    probes
}

fn link(answer: Answer) -> Option<(u64, Link)> {
    let id = answer.status.ok()?.header?.member_id;
    Some((id, answer.member.ok()?))
}
