//! The Services of a cluster: for members among themselves, for clients, and for the leader.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec as CoreSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use mainstay_operator_api::service::{ServiceSpec, ServiceType};

use super::Subject;
use crate::labels::{self, CLIENT_PORT, METRICS_PORT, PEER_PORT, ROLE};

/// Gives each pod its name. Members must find each other before they can be ready.
pub fn peer(subject: &Subject<'_>) -> Service {
    Service {
        metadata: subject.owned(&format!("{}-peer", subject.name)),
        spec: Some(CoreSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(labels::of(subject.name)),
            ports: Some(vec![
                port("client", CLIENT_PORT),
                port("peer", PEER_PORT),
                port("metrics", METRICS_PORT),
            ]),
            ..CoreSpec::default()
        }),
        status: None,
    }
}

/// Every member that is ready: any of them takes any request.
pub fn client(subject: &Subject<'_>) -> Service {
    let selector = labels::of(subject.name);
    service(subject, "client", &subject.spec.services.client, selector)
}

/// The member that leads, by its label: spares the hop of a write.
pub fn leader(subject: &Subject<'_>) -> Service {
    let mut selector = labels::of(subject.name);
    selector.insert(ROLE.to_owned(), "leader".to_owned());
    service(subject, "leader", &subject.spec.services.leader, selector)
}

fn service(
    subject: &Subject<'_>,
    name: &str,
    options: &ServiceSpec,
    selector: BTreeMap<String, String>,
) -> Service {
    let mut metadata = subject.owned(&format!("{}-{name}", subject.name));
    if !options.annotations.is_empty() {
        metadata.annotations = Some(options.annotations.clone());
    }
    let kind = match options.kind {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    Service {
        metadata,
        spec: Some(CoreSpec {
            type_: Some(kind.to_owned()),
            selector: Some(selector),
            ports: Some(vec![port("client", CLIENT_PORT)]),
            ..CoreSpec::default()
        }),
        status: None,
    }
}

fn port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number.into(),
        target_port: Some(IntOrString::Int(number.into())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
