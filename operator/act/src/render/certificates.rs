//! What cert-manager is asked for, where it issues the certificates. It fills Secrets of the names
//! that the operator would fill itself, so nothing else depends on who does.

use kube::api::ApiResource;
use mainstay_operator_api::tls::{CertManagerSpec, IssuerKind, IssuerRef};
use mainstay_operator_plan::observed::{Leaf, Plane};
use serde_json::{Value, json};

use super::Subject;
use crate::apply::Wanted;
use crate::tls::{self, Place, Purpose, Request};

/// One `Certificate` for each Secret; none unless the spec names issuers.
pub fn render(subject: &Subject<'_>) -> Vec<Wanted> {
    let Some(CertManagerSpec {
        client_issuer,
        peer_issuer,
    }) = &subject.spec.tls.cert_manager
    else {
        return Vec::new();
    };
    Leaf::ALL
        .into_iter()
        .map(|leaf| {
            let issuer = match leaf.plane() {
                Plane::Client => client_issuer,
                Plane::Peer => peer_issuer,
            };
            certificate(subject, leaf, issuer)
        })
        .collect()
}

impl Subject<'_> {
    pub fn place(&self) -> Place<'_> {
        Place {
            cluster: self.name,
            namespace: self.namespace,
            domain: &self.settings.domain,
        }
    }
}

fn certificate(subject: &Subject<'_>, leaf: Leaf, issuer: &IssuerRef) -> Wanted {
    let name = tls::leaf_secret(subject.name, leaf);
    let request: Request = tls::request(subject, leaf);
    let (addresses, names): (Vec<&String>, Vec<&String>) = request
        .names
        .iter()
        .partition(|name| name.parse::<std::net::IpAddr>().is_ok());
    let usages: &[&str] = match request.purpose {
        Purpose::Member => &["digital signature", "server auth", "client auth"],
        Purpose::Client => &["digital signature", "client auth"],
    };
    let kind = match issuer.kind {
        IssuerKind::Issuer => "Issuer",
        IssuerKind::ClusterIssuer => "ClusterIssuer",
    };
    let hours = |days: u32| format!("{}h", u64::from(days).saturating_mul(24));
    let object = json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": subject.owned(&name),
        "spec": {
            "secretName": name,
            "secretTemplate": {"labels": crate::labels::of(subject.name)},
            "commonName": request.common_name,
            "dnsNames": names,
            "ipAddresses": addresses,
            "usages": usages,
            "duration": hours(subject.spec.tls.certificate_days),
            "renewBefore": hours(subject.spec.tls.renew_before_days),
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
            "issuerRef": {"name": issuer.name, "kind": kind, "group": issuer.group},
        },
    });
    Wanted {
        resource: resource(),
        name,
        namespace: subject.namespace.to_owned(),
        object: without_empty(object),
    }
}

fn resource() -> ApiResource {
    ApiResource {
        group: "cert-manager.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "cert-manager.io/v1".to_owned(),
        kind: "Certificate".to_owned(),
        plural: "certificates".to_owned(),
    }
}

/// cert-manager takes an empty list for a wish.
fn without_empty(mut object: Value) -> Value {
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
    }
    object
}
