//! The samples of `deploy/samples` that need no foreign controller become ready, and the one for
//! cert-manager does with the test in its part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_pki::{Authority, Leaf};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::operator::cluster::{Cluster, LIMIT};
use crate::operator::etcdctl::Etcdctl;
use crate::operator::stories::release::restricted;
use crate::operator::times::Times;
use crate::tools;

const PLACE: &str = "samples";
const MODULE: &str = "github.com/cert-manager/cert-manager";

/// The objects of a sample as a user would send them.
fn objects(kubectl: &Kubectl, checkout: &Path, name: &str) -> Result<Vec<Value>> {
    let path = checkout.join("deploy/samples").join(format!("{name}.yaml"));
    let path = path.to_str().context("the checkout's path is no text")?;
    let words = ["create", "--dry-run=client", "--validate=false", "-f", path];
    let text = kubectl.run(&[&words[..], &["-o=json"]].concat())?;
    // One after the other, not as a list.
    let objects = serde_json::Deserializer::from_str(&text).into_iter();
    Ok(objects.collect::<Result<_, _>>()?)
}

/// As they are: the smallest cluster, and the policy for its network, which the node does not
/// enforce. The one for production with what a single small node cannot give taken out of it: five
/// nodes, two CPUs and 8 GiB a member.
pub fn ready(kubectl: &Kubectl, checkout: &Path, times: &mut Times) -> Result<()> {
    kubectl.apply(&[restricted(PLACE)])?;
    let place = kubectl.within(PLACE);
    place.apply(&objects(&place, checkout, "minimal")?)?;
    place.apply(&objects(&place, checkout, "network-policy")?)?;
    let mut production = objects(&place, checkout, "production")?;
    let spec = production
        .iter_mut()
        .find(|object| object["kind"] == "MainstayCluster")
        .and_then(|object| object["spec"].as_object_mut())
        .context("the sample holds no cluster")?;
    let small = json!({"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}});
    if spec.insert("resources".to_owned(), small).is_none() {
        bail!("the sample asks for no resources");
    }
    let scheduling = spec.get_mut("scheduling").and_then(Value::as_object_mut);
    let spread = scheduling.and_then(|scheduling| scheduling.remove("affinity"));
    spread.context("the sample spreads no members over nodes")?;
    place.apply(&production)?;
    let minimal = Cluster::within(kubectl, PLACE, "db");
    times.note("sample minimal: 3/3 ready", minimal.until_ready(3)?);
    let orders = Cluster::within(kubectl, PLACE, "orders");
    times.note("sample production: 5/5 ready", orders.until_ready(5)?);
    let etcdctl = Etcdctl::open(&orders)?;
    etcdctl.put("order", "one")?;
    etcdctl.refused(
        &["--user=root:wrong", "get", "order"],
        "authentication failed",
    )?;
    etcdctl.run(&["--user=root:change-me", "get", "order"])?;
    [minimal, orders].iter().try_for_each(discard)
}

/// cert-manager's definitions are its own, pinned; what it would do with the objects is done here.
pub fn issued(kubectl: &Kubectl, checkout: &Path, times: &mut Times) -> Result<()> {
    kubectl.apply(&[restricted(PLACE)])?;
    for name in ["certificates", "issuers"] {
        let file = format!("deploy/crds/cert-manager.io_{name}.yaml");
        let path = module(checkout)?.join(file).display().to_string();
        kubectl.run(&["apply", "--server-side", "-f", &path])?;
        let crd = format!("crd/{name}.cert-manager.io");
        let path = "-o=jsonpath={.status.conditions[?(@.type=='Established')].status}";
        let words = ["get", &crd, path];
        kubectl.until("the definition is served", LIMIT, &words, |text| {
            text == "True"
        })?;
    }
    let place = kubectl.within(PLACE);
    place.apply(&objects(&place, checkout, "cert-manager")?)?;
    let cluster = Cluster::within(kubectl, PLACE, "issued");
    cluster.until_told("TLSReady", "SecretMissing", &["issued-server-tls"])?;
    let issuers = ["mainstay-clients", "mainstay-peers"];
    let issuers = issuers.map(|name| Ok((name, Authority::new(name)?)));
    let issuers: BTreeMap<_, _> = issuers.into_iter().collect::<Result<_>>()?;
    issue(&place, &issuers)?;
    times.note(
        "sample cert-manager: issued to 3/3 ready",
        cluster.until_ready(3)?,
    );
    // A renewal is another certificate in the same Secret.
    let before = cluster.pods()?;
    issue(&place, &issuers)?;
    cluster.until_ready(3)?;
    crate::operator::cluster::same(&before, &cluster.pods()?)?;
    discard(&cluster)
}

/// Samples keep their volumes. cert-manager's Secrets are its own, and stay.
fn discard(cluster: &Cluster) -> Result<()> {
    cluster.patch(&json!({"spec": {"storage": {"whenDeleted": "Delete"}}}))?;
    let words = ["delete", "msc", cluster.name, "--timeout=180s"];
    cluster.kubectl.run(&words)?;
    cluster.until_gone("secret")
}

/// Fills the Secret of each certificate that the operator has asked for, just as it is asked for.
fn issue(place: &Kubectl, issuers: &BTreeMap<&str, Authority>) -> Result<()> {
    let words = [
        "get",
        "certificates.cert-manager.io",
        "-l",
        "app.kubernetes.io/instance=issued",
    ];
    let all = [&words[..], &["-o=json"]].concat();
    place.until("four certificates are asked for", LIMIT, &all, |text| {
        let found: Value = serde_json::from_str(text).unwrap_or_default();
        found["items"]
            .as_array()
            .is_some_and(|items| items.len() == 4)
    })?;
    let found = place.json(&words)?;
    let mut secrets = Vec::new();
    for object in found["items"].as_array().into_iter().flatten() {
        let spec = &object["spec"];
        let issuer = spec["issuerRef"]["name"].as_str().unwrap_or_default();
        let authority = issuers
            .get(issuer)
            .context("an issuer that nobody has made")?;
        let texts = |key: &str| {
            let list = spec[key].as_array().into_iter().flatten();
            list.filter_map(|text| text.as_str().map(str::to_owned))
        };
        let usage = |name: &str| texts("usages").any(|usage| usage == name);
        let (certificate, key) = authority.issue(&Leaf {
            common_name: spec["commonName"].as_str().unwrap_or_default().to_owned(),
            names: texts("dnsNames").chain(texts("ipAddresses")).collect(),
            until: time::Duration::days(90),
            for_servers: usage("server auth"),
            for_clients: usage("client auth"),
            ..Leaf::default()
        })?;
        let data = [
            ("tls.crt", certificate),
            ("tls.key", key),
            ("ca.crt", authority.pem()),
        ];
        let data: BTreeMap<&str, String> = data
            .into_iter()
            .map(|(key, text)| (key, STANDARD.encode(text)))
            .collect();
        secrets.push(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {
                "name": spec["secretName"], "namespace": PLACE,
                "labels": spec["secretTemplate"]["labels"],
            },
            "data": data,
        }));
    }
    place.apply(&secrets)
}

/// Where Go keeps the module that `tests/peers/definitions` pins.
fn module(checkout: &Path) -> Result<PathBuf> {
    let mut command = Command::new("go");
    command.args(["mod", "download", "-json", MODULE]);
    command.current_dir(checkout.join("tests/peers/definitions"));
    let answer: Value = serde_json::from_str(&tools::output(&mut command)?)?;
    let folder = answer["Dir"].as_str().context("go tells no folder")?;
    Ok(PathBuf::from(folder))
}
