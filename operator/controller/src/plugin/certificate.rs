//! The client certificate of root, in files for etcdctl and its like.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use mainstay_operator_act::tls::leaf_secret;
use mainstay_operator_plan::observed::Leaf;

use super::Place;

/// Keys of the Secret, and the files that they become.
const FILES: [(&str, &str); 3] = [
    ("ca.crt", "ca.crt"),
    ("tls.crt", "client.crt"),
    ("tls.key", "client.key"),
];

pub async fn run(place: &Place, cluster: &str, out: &Path) -> Result<()> {
    place.cluster(cluster).await?;
    let name = leaf_secret(cluster, Leaf::Client);
    let api: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    let secret = api.get_opt(&name).await?;
    let secret = secret.with_context(|| format!("there is no Secret {name} yet"))?;
    let data = secret.data.unwrap_or_default();
    fs::create_dir_all(out)?;
    for (key, file) in FILES {
        let bytes = data
            .get(key)
            .with_context(|| format!("the Secret {name} lacks {key}"))?;
        write(&out.join(format!("{cluster}-{file}")), &bytes.0)?;
    }
    println!("{}", line(cluster, &place.namespace, out));
    Ok(())
}

/// Nobody else may read it: one of them is a key.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let named = || format!("cannot write {}", path.display());
    // A file that is there keeps its mode, so it goes first.
    if path.exists() {
        fs::remove_file(path).with_context(named)?;
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .with_context(named)
}

/// What to type; from outside of Kubernetes after a port-forward to the client Service.
fn line(cluster: &str, namespace: &str, out: &Path) -> String {
    let file = |name: &str| out.join(format!("{cluster}-{name}")).display().to_string();
    format!(
        "# inside of Kubernetes: --endpoints=https://{cluster}-client.{namespace}.svc:2379\n\
         kubectl -n {namespace} port-forward service/{cluster}-client 2379 &\n\
         etcdctl --endpoints=https://127.0.0.1:2379 --cacert={} --cert={} --key={} \
         endpoint status -w table",
        file("ca.crt"),
        file("client.crt"),
        file("client.key"),
    )
}
