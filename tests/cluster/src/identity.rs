//! Certificates and kubeconfigs of everybody on the node, made anew for each node.

use std::path::PathBuf;

use anyhow::{Context, Result};
use mainstay_pki::{Authority, Leaf, Pair, replace};
use serde_json::json;
use time::Duration;

use crate::NAME;
use crate::folder::Folder;
use crate::network::{API, API_PORT, FIRST_SERVICE};

/// How long the certificates last; a node is not meant to grow old.
const LIFETIME: Duration = Duration::days(365);

/// Names under which the API server is reached.
const SERVER_NAMES: &[&str] = &[
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
    FIRST_SERVICE,
    API,
];

/// Users of the API server: the file, the user and the group of Kubernetes' own RBAC rules.
const USERS: &[(&str, &str, &str)] = &[
    ("admin", "admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("proxy", "system:kube-proxy", ""),
];

/// Writes all of it below `pki`, and one kubeconfig a user; the administrator's lies on top.
pub fn write(folder: &Folder) -> Result<()> {
    let dir = folder.join("pki");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let authority = Authority::new("mainstay-node-ca")?;
    let ca = dir.join("ca.crt");
    replace(&ca, &authority.pem())?;
    let issue = |name: &str, user: &str, group: &str, names: &[&str]| -> Result<Pair> {
        let leaf = Leaf {
            common_name: user.to_owned(),
            organization: (!group.is_empty()).then(|| group.to_owned()),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            until: LIFETIME,
            ..Leaf::default()
        };
        authority.write(&dir, name, &leaf)
    };
    issue("server", "kube-apiserver", "", SERVER_NAMES)?;
    issue(
        "kubelet-client",
        "kube-apiserver-kubelet",
        "system:masters",
        &[],
    )?;
    issue("service-accounts", "service-accounts", "", &[])?;
    issue("datastore", "datastore", "", &["127.0.0.1", "localhost"])?;
    for (name, user, group) in USERS {
        let pair = issue(name, user, group, &[])?;
        kubeconfig(folder.join(&format!("pki/{name}.kubeconfig")), &ca, &pair)?;
        if *name == "admin" {
            kubeconfig(folder.kubeconfig(), &ca, &pair)?;
        }
    }
    let user = format!("system:node:{NAME}");
    let pair = issue("kubelet", &user, "system:nodes", &[NAME, API])?;
    kubeconfig(dir.join("kubelet.kubeconfig"), &ca, &pair)
}

/// A kubeconfig that names the files of a user. It is JSON, which is YAML too.
fn kubeconfig(path: PathBuf, ca: &std::path::Path, pair: &Pair) -> Result<()> {
    let server = format!("https://{API}:{}", API_PORT);
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": "user", "user": {
            "client-certificate": pair.cert, "client-key": pair.key}}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": "user"}}],
        "current-context": NAME,
    });
    replace(&path, &format!("{config:#}\n"))
}
