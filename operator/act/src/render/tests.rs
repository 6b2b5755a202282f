//! The objects as YAML, compared with files: a difference is a change for every cluster there is,
//! and one of the pod's template restarts all its members. With `UPDATE_GOLDEN=1` the files are
//! written anew.

use std::path::Path;

use mainstay_operator_api::tls::{CertManagerSpec, IssuerKind, IssuerRef, TlsSource};
use serde::Serialize;
use serde_json::json;

use super::workload::Shape;
use super::*;
use crate::apply::Wanted;

fn golden(name: &str, objects: &[impl Serialize]) {
    let texts = objects
        .iter()
        .map(|object| serde_yaml::to_string(object).unwrap());
    let text = texts.collect::<Vec<_>>().join("---\n");
    let folder = Path::new("tests/golden");
    let path = folder.join(format!("{name}.yaml"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, known, "{name} is rendered in another way than before");
}

fn subject<'a>(
    spec: &'a MainstayClusterSpec,
    annotations: &'a BTreeMap<String, String>,
    settings: &'a Settings,
) -> Subject<'a> {
    Subject {
        name: "db",
        namespace: "prod",
        uid: "5f1c",
        annotations,
        spec,
        settings,
    }
}

fn shape() -> Shape {
    Shape {
        replicas: 3,
        storage: "8Gi".into(),
        restore: None,
    }
}

#[test]
fn a_spec_that_says_nothing_gives_a_cluster_with_defaults() {
    let spec = MainstayClusterSpec {
        version: "1.2.3".into(),
        ..MainstayClusterSpec::default()
    };
    let (none, settings) = (BTreeMap::new(), Settings::default());
    let subject = subject(&spec, &none, &settings);
    golden("workload", &[workload::render(&subject, &shape())]);
    let services = [
        services::peer(&subject),
        services::client(&subject),
        services::leader(&subject),
    ];
    golden("services", &services);
    golden("budget", &[budget::render(&subject, 2)]);
}

#[test]
fn a_snapshot_is_brought_before_the_first_member_starts() {
    let spec = MainstayClusterSpec {
        version: "1.2.3".into(),
        ..MainstayClusterSpec::default()
    };
    let (none, mut settings) = (BTreeMap::new(), Settings::default());
    settings.operator_image = Some("registry.example/operator:1".into());
    let subject = subject(&spec, &none, &settings);
    let restored = |at: serde_json::Value| {
        let from = json!({"at": at, "path": "nightly.db"});
        let shape = Shape {
            restore: Some(serde_json::from_value(from).unwrap()),
            ..shape()
        };
        let template = workload::render(&subject, &shape).spec.unwrap().template;
        template.spec.unwrap()
    };
    let volume = restored(json!({"volume": {"claimName": "backups"}}));
    let bucket = restored(json!({"s3": {"bucket": "all", "credentialsSecret": "bucket"}}));
    for (pod, path) in [(&volume, "/backup"), (&bucket, "/credentials")] {
        let brings = &pod.init_containers.as_ref().unwrap()[0];
        let mounts = brings.volume_mounts.as_ref().unwrap();
        let place = mounts.iter().find(|mount| mount.mount_path == path);
        assert_eq!(place.unwrap().read_only, Some(true));
        assert!(mounts.iter().any(|mount| mount.name == workload::CLAIM));
        // The member itself sees nothing of it.
        let own = pod.containers[0].volume_mounts.as_ref().unwrap();
        assert!(own.iter().all(|mount| mount.mount_path != path));
    }
    let volumes = volume.volumes.clone().unwrap();
    let claim = volumes
        .iter()
        .find_map(|known| known.persistent_volume_claim.as_ref());
    assert_eq!(claim.unwrap().read_only, Some(true));
    golden("restore", &volume.init_containers.unwrap());
}

#[test]
fn every_field_of_a_spec_arrives() {
    let spec: MainstayClusterSpec = serde_json::from_value(json!({
        "replicas": 5,
        "version": "1.2.3",
        "image": {
            "repository": "registry.example/mainstay",
            "digest": format!("sha256:{}", "0".repeat(64)),
            "pullPolicy": "Never",
            "pullSecrets": [{"name": "registry"}],
        },
        "storage": {"size": "20Gi", "class": "fast", "whenDeleted": "Delete"},
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
        "scheduling": {
            "affinity": {},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
            ],
            "tolerations": [{"key": "db", "operator": "Exists"}],
            "nodeSelector": {"disk": "ssd"},
            "priorityClassName": "high",
        },
        "compaction": {"mode": "Periodic", "retention": "30m"},
        "quota": "4Gi",
        "server": {
            "heartbeatMillis": 200, "electionMillis": 2000, "maxRequestBytes": 4096,
            "maxTxnOps": 64, "logLevel": "debug", "extraArgs": ["--snapshot-count=5000"],
        },
        "services": {"client": {"type": "LoadBalancer", "annotations": {"lb": "internal"}}},
        "podTemplate": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
    }))
    .unwrap();
    let annotations = [(
        mainstay_operator_api::annotation::RESTART.to_owned(),
        "1".to_owned(),
    )];
    let (annotations, settings) = (annotations.into(), Settings::default());
    let subject = subject(&spec, &annotations, &settings);
    golden("workload-full", &[workload::render(&subject, &shape())]);
    golden("services-full", &[services::client(&subject)]);
}

#[test]
fn cert_manager_is_asked_for_each_secret() {
    let issuer = |name: &str, kind| IssuerRef {
        name: name.into(),
        kind,
        group: "cert-manager.io".into(),
    };
    let mut spec = MainstayClusterSpec::default();
    spec.tls.source = TlsSource::CertManager;
    spec.tls.cert_manager = Some(CertManagerSpec {
        client_issuer: issuer("clients", IssuerKind::ClusterIssuer),
        peer_issuer: issuer("peers", IssuerKind::Issuer),
    });
    spec.tls.extra_sans = vec!["db.example.com".into(), "192.0.2.1".into()];
    let (none, settings) = (BTreeMap::new(), Settings::default());
    let subject = subject(&spec, &none, &settings);
    let wanted: Vec<Wanted> = certificates::render(&subject);
    let objects: Vec<_> = wanted.into_iter().map(|wanted| wanted.object).collect();
    golden("certificates", &objects);
}
