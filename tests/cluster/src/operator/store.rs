//! An S3-compatible store in the cluster, over TLS of a CA that nobody else knows. Its bucket is a
//! volume, so that what lies in it can be looked at from outside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use mainstay_pki::{Authority, Leaf};
use serde_json::{Value, json};

use super::cluster::NAMESPACE;
use crate::image;
use crate::kubectl::Kubectl;

const NAME: &str = "store";
const PORT: u16 = 7070;
/// Of the image that is made for this suite.
const VERSION: &str = "1";
const KEY: (&str, &str) = ("AKSUITE", "the suite's secret");
/// The Secret that opens it.
pub const SECRET: &str = "store-access";
const BUCKET: &str = "backups";
/// Begin of the keys in the bucket.
pub const PREFIX: &str = "db";
/// The claim that the bucket is.
pub const CLAIM: &str = "store-bucket";
const LIMIT: Duration = Duration::from_secs(120);

/// The archive of its image.
pub fn archive(program: &Path) -> Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("mainstay-store-{}.tar", std::process::id()));
    image::program(NAME, VERSION, program).write(&path)?;
    Ok(path)
}

/// Where a backup goes.
pub fn destination() -> Value {
    json!({"s3": {
        "bucket": BUCKET,
        "prefix": PREFIX,
        "endpoint": format!("https://{NAME}.{NAMESPACE}.svc:{PORT}"),
        "region": "suite-1",
        "credentialsSecret": SECRET,
    }})
}

/// What opens the bucket, and whom to trust.
pub fn secret(authority: &Authority) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": NAMESPACE},
        "stringData": {
            "accessKeyID": KEY.0, "secretAccessKey": KEY.1, "ca.crt": authority.pem(),
        },
    })
}

/// Starts it and waits until it takes connections.
pub fn start(kubectl: &Kubectl, authority: &Authority) -> Result<()> {
    let (certificate, key) = authority.issue(&Leaf {
        common_name: NAME.into(),
        names: vec![format!("{NAME}.{NAMESPACE}.svc")],
        ..Leaf::default()
    })?;
    let metadata = |name: &str| json!({"name": name, "namespace": NAMESPACE});
    kubectl.apply(&[
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata("store-tls"),
            "stringData": {"tls.crt": certificate, "tls.key": key}}),
        claim(CLAIM),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata(NAME),
            "spec": {"selector": {"app": NAME}, "ports": [{"port": PORT}]}}),
        pod(),
    ])?;
    let path = "-o=jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    let words = ["get", "pod", NAME, path];
    kubectl.until("the store is ready", LIMIT, &words, |text| text == "True")?;
    Ok(())
}

pub fn stop(kubectl: &Kubectl) -> Result<()> {
    kubectl.run(&["delete", "pod,service", NAME, "--grace-period=1"])?;
    kubectl.run(&["delete", "pvc", CLAIM, "--timeout=60s"])?;
    kubectl
        .run(&["delete", "secret", "store-tls", SECRET])
        .map(drop)
}

/// A claim of the node's volumes.
pub fn claim(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "256Mi"}},
        },
    })
}

fn pod() -> Value {
    let args = [
        format!("--port=:{PORT}"),
        format!("--access={}", KEY.0),
        format!("--secret={}", KEY.1),
        "--region=suite-1".to_owned(),
        "--cert=/tls/tls.crt".to_owned(),
        "--key=/tls/tls.key".to_owned(),
        "posix".to_owned(),
        "/data".to_owned(),
    ];
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"app": NAME}},
        "spec": {
            "automountServiceAccountToken": false,
            // The namespace may hold every pod to the strictest rules.
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": NAME,
                "image": format!("{NAME}:{VERSION}"),
                "args": args,
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                },
                "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                // A folder of the root is a bucket.
                "volumeMounts": [
                    {"name": "root", "mountPath": "/data"},
                    {"name": "bucket", "mountPath": format!("/data/{BUCKET}")},
                    {"name": "tls", "mountPath": "/tls"},
                ],
            }],
            "volumes": [
                {"name": "root", "emptyDir": {}},
                {"name": "bucket", "persistentVolumeClaim": {"claimName": CLAIM}},
                {"name": "tls", "secret": {"secretName": "store-tls"}},
            ],
        },
    })
}
