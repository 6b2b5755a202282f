//! The image of the server: one member in a pod, reached from this machine.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::workload::{LIMIT, fetch};
use crate::kubectl::Kubectl;

const NAME: &str = "single";

/// It becomes ready under the strictest rules of Pod Security, and keeps a value.
pub fn serves(kubectl: &Kubectl) -> Result<()> {
    kubectl.apply(&[pod()])?;
    let ready = "-o=jsonpath={.status.containerStatuses[0].ready} {.status.podIP}";
    let get = ["get", "pod", NAME, ready];
    let state = kubectl.until("the member is ready", LIMIT, &get, |text| {
        text.starts_with("true")
    });
    let state = match state {
        Ok(state) => state,
        Err(error) => {
            let log = kubectl.run(&["logs", NAME]).unwrap_or_default();
            return Err(error.context(format!("the member says: {log}")));
        }
    };
    let address = state.trim_start_matches("true ").to_owned();
    let call = |method: &str, body: &str| {
        let url = format!("http://{address}:2379/v3/kv/{method}");
        fetch(&["-O", "-", "--post-data", body, &url])
    };
    // The JSON of keys and values is base64: "word" and "kept".
    call("put", r#"{"key":"d29yZA==","value":"a2VwdA=="}"#)?;
    let answer = call("range", r#"{"key":"d29yZA=="}"#)?;
    if !answer.contains("a2VwdA==") {
        bail!("the member answers {answer}");
    }
    kubectl
        .run(&["delete", "pod", NAME, "--grace-period=2"])
        .map(drop)
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {
            "securityContext": {
                "runAsNonRoot": true,
                // The group that may write to the volume.
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "mainstay",
                "image": format!("mainstay:{}", env!("CARGO_PKG_VERSION")),
                "imagePullPolicy": "IfNotPresent",
                "args": [
                    "--data-dir=/data/member",
                    "--listen-client-urls=http://0.0.0.0:2379",
                    "--advertise-client-urls=http://127.0.0.1:2379",
                ],
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": true,
                },
                "readinessProbe": {
                    "httpGet": {"path": "/readyz", "port": 2379},
                    "periodSeconds": 1,
                },
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    })
}
