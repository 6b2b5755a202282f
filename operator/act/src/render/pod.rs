//! The pod of a member: one container, restricted as far as Pod Security goes, without a token.

use k8s_openapi::api::core::v1::{
    Affinity, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
    ObjectFieldSelector, PodAffinityTerm, PodAntiAffinity, PodSpec, PodTemplateSpec, Probe,
    TopologySpreadConstraint, Volume, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use mainstay_operator_api::annotation;
use mainstay_operator_api::bootstrap::SnapshotRef;
use mainstay_operator_api::cluster::PullPolicy;
use mainstay_operator_plan::record;

use super::meta::merged;
use super::{Subject, args, place, security, workload};
use crate::labels::{self, CLIENT_PORT, METRICS_PORT, PEER_PORT};

/// A member that stops hands its leadership over and closes its log first.
const GRACE_SECONDS: i64 = 60;
/// A member may have to replay a long log, or take in a large snapshot, before it answers.
const STARTUP_SECONDS: i32 = 3600;

/// Volume with the members' intents.
const INTENTS: &str = "members";

pub fn template(subject: &Subject<'_>, restore: Option<&SnapshotRef>) -> PodTemplateSpec {
    let spec = subject.spec;
    let mut annotations = spec.pod_template.annotations.clone();
    if let Some(text) = subject.annotations.get(annotation::RESTART) {
        annotations.insert(annotation::RESTART.to_owned(), text.clone());
    }
    let labels = merged(&spec.pod_template.labels, labels::of(subject.name));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(subject, restore)),
    }
}

fn pod(subject: &Subject<'_>, restore: Option<&SnapshotRef>) -> PodSpec {
    let (spec, scheduling) = (subject.spec, &subject.spec.scheduling);
    let affinity = scheduling.affinity.clone();
    let spread = scheduling.topology_spread_constraints.clone();
    let pull_secrets = spec.image.pull_secrets.clone();
    let mut volumes = volumes(subject);
    volumes.extend(restore.map(|from| place::volume(&from.at, true)));
    PodSpec {
        init_containers: restore.and_then(|from| Some(vec![bring(subject, from)?])),
        containers: vec![container(subject)],
        volumes: Some(volumes),
        affinity: Some(affinity.unwrap_or_else(|| different_nodes(subject))),
        topology_spread_constraints: Some(match spread.is_empty() {
            true => vec![different_zones(subject)],
            false => spread,
        }),
        tolerations: some(scheduling.tolerations.clone()),
        node_selector: (!scheduling.node_selector.is_empty())
            .then(|| scheduling.node_selector.clone()),
        priority_class_name: scheduling.priority_class_name.clone(),
        image_pull_secrets: some(pull_secrets),
        // A member speaks to nobody but members and clients.
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(security::pod()),
        ..PodSpec::default()
    }
}

/// Brings the snapshot, if the member's intent is to begin with it and the volume is empty. The
/// intent decides, not the template: a pod that is made anew later has nothing brought.
fn bring(subject: &Subject<'_>, from: &SnapshotRef) -> Option<Container> {
    let image = subject.settings.operator_image.clone()?;
    let destination = serde_json::to_string(&from.at).ok()?;
    let mut mounts = mounts();
    mounts.retain(|mount| mount.name == workload::CLAIM || mount.name == INTENTS);
    mounts.push(place::mount(&from.at, true));
    Some(Container {
        name: record::RESTORE.to_owned(),
        image: Some(image),
        image_pull_policy: Some(pull_policy(subject.spec.image.pull_policy).to_owned()),
        args: Some(vec![
            "agent".to_owned(),
            "fetch".to_owned(),
            format!("--destination={destination}"),
            format!("--name={}", from.path),
            format!("--to={}", record::SNAPSHOT),
            format!("--intent={}/$(POD_NAME).json", args::MEMBERS),
            format!("--unless={}/data/member", args::DATA),
        ]),
        env: Some(vec![pod_name()]),
        // A quota may ask every container for them.
        resources: subject.spec.resources.clone(),
        volume_mounts: Some(mounts),
        security_context: Some(security::container()),
        ..Container::default()
    })
}

fn pod_name() -> EnvVar {
    EnvVar {
        name: "POD_NAME".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: "metadata.name".to_owned(),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn container(subject: &Subject<'_>) -> Container {
    let port = |name: &str, number: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    Container {
        name: labels::PRODUCT.to_owned(),
        image: Some(subject.image()),
        image_pull_policy: Some(pull_policy(subject.spec.image.pull_policy).to_owned()),
        args: Some(args::of(subject)),
        env: Some(vec![pod_name()]),
        ports: Some(vec![
            port("client", CLIENT_PORT),
            port("peer", PEER_PORT),
            port("metrics", METRICS_PORT),
        ]),
        resources: subject.spec.resources.clone(),
        volume_mounts: Some(mounts()),
        // Liveness asks for the process only: a member without a quorum is not helped by a restart.
        startup_probe: Some(probe("/livez", 2, STARTUP_SECONDS / 2)),
        liveness_probe: Some(probe("/livez", 10, 6)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        security_context: Some(security::container()),
        ..Container::default()
    }
}

impl Subject<'_> {
    /// The server's image.
    pub fn image(&self) -> String {
        let image = &self.spec.image;
        let repository = image
            .repository
            .as_ref()
            .unwrap_or(&self.settings.repository);
        match &image.digest {
            Some(digest) => format!("{repository}@{digest}"),
            None => format!("{repository}:{}", self.spec.version),
        }
    }
}

fn pull_policy(policy: PullPolicy) -> &'static str {
    match policy {
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Always => "Always",
        PullPolicy::Never => "Never",
    }
}

fn probe(path: &str, every: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(METRICS_PORT.into()),
            scheme: Some("HTTP".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(every),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn volumes(subject: &Subject<'_>) -> Vec<Volume> {
    let names = subject.secrets();
    // Whole volumes, not single files: only those follow when their source changes.
    vec![
        Volume {
            name: INTENTS.to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: format!("{}-members", subject.name),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        place::secret("client-tls", &names.server),
        place::secret("peer-tls", &names.peer),
    ]
}

fn mounts() -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    vec![
        mount(workload::CLAIM, args::DATA, false),
        mount(INTENTS, args::MEMBERS, true),
        mount("client-tls", args::CLIENT_TLS, true),
        mount("peer-tls", args::PEER_TLS, true),
    ]
}

fn own_pods(subject: &Subject<'_>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels::of(subject.name)),
        ..LabelSelector::default()
    }
}

/// Preferred, not required: on a small cluster two members on a node are better than one less.
fn different_nodes(subject: &Subject<'_>) -> Affinity {
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![
                WeightedPodAffinityTerm {
                    weight: 100,
                    pod_affinity_term: PodAffinityTerm {
                        label_selector: Some(own_pods(subject)),
                        topology_key: "kubernetes.io/hostname".to_owned(),
                        ..PodAffinityTerm::default()
                    },
                },
            ]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

fn different_zones(subject: &Subject<'_>) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "topology.kubernetes.io/zone".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(own_pods(subject)),
        ..TopologySpreadConstraint::default()
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
