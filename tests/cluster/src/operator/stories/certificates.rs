//! Certificates that are renewed without a restart, whoever issues them.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_pki::{Authority, Leaf};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::Duration;

use crate::operator::cluster::{Cluster, LIMIT, same};
use crate::operator::members::Members;
use crate::operator::times::Times;

/// The Secrets of certificates, those that members use first.
const LEAVES: &[&str] = &["server-tls", "peer-tls", "client-tls", "operator-tls"];
const AUTHORITIES: &[&str] = &["ca", "peer-ca"];

/// Asks for all certificates anew by an annotation; no pod restarts for it.
pub fn rotate_leaves(cluster: &Cluster, times: &mut Times) -> Result<()> {
    rotate(cluster, "rotate-certificates", LEAVES, times)
}

/// The same for the authorities. At the end nothing trusts the former ones.
pub fn rotate_authorities(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let all = [AUTHORITIES, LEAVES].concat();
    rotate(cluster, "rotate-ca", &all, times)
}

fn rotate(cluster: &Cluster, what: &str, renewed: &[&str], times: &mut Times) -> Result<()> {
    let before = cluster.pods()?;
    let read = |kind: &&str| pem(cluster, kind, "tls.crt");
    let old: Vec<String> = renewed.iter().map(read).collect::<Result<_>>()?;
    let members = Members::open(cluster)?;
    let since = Instant::now();
    cluster.annotate(what, "suite")?;
    xtask::process::wait_until("all is new, and members use it", LIMIT, || {
        for (kind, old) in renewed.iter().zip(&old) {
            if read(kind)? == *old {
                return Ok(false);
            }
        }
        let wanted = in_secrets(cluster)?;
        // One authority a plane and one certificate: what was trusted beside them is not any more.
        Ok(wanted.len() == 4 && uses(&members, before.len(), &wanted))
    })?;
    times.note(what, since.elapsed());
    cluster.until_ready(u32::try_from(before.len())?)?;
    same(&before, &cluster.pods()?)
}

fn pem(cluster: &Cluster, kind: &str, key: &str) -> Result<String> {
    let name = format!("{}-{kind}", cluster.name);
    let mut data = cluster.secret(&name)?;
    let bytes = data.remove(key);
    Ok(String::from_utf8(
        bytes.with_context(|| format!("{name} has no {key}"))?,
    )?)
}

/// Side, role and fingerprint of a certificate.
type Row = (String, String, String);

/// What members find in the Secrets that the operator fills.
fn in_secrets(cluster: &Cluster) -> Result<BTreeSet<Row>> {
    let mut rows = BTreeSet::new();
    for (kind, side) in LEAVES.iter().zip(SIDES) {
        for (key, role) in ROLES {
            rows.extend(named(side, role, &pem(cluster, kind, key)?)?);
        }
    }
    Ok(rows)
}

const SIDES: [&str; 2] = ["client", "peer"];
const ROLES: [(&str, &str); 2] = [("tls.crt", "listening"), ("ca.crt", "trusted")];

fn named(side: &str, role: &str, pem: &str) -> Result<Vec<Row>> {
    let rows = fingerprints(pem)?.into_iter();
    let rows = rows.map(|print| (side.to_owned(), role.to_owned(), print));
    Ok(rows.collect())
}

/// Whether each of so many members listens with exactly these. One that cannot be asked at the
/// moment does not.
fn uses(members: &Members<'_>, count: usize, wanted: &BTreeSet<Row>) -> bool {
    let loaded = members.loaded().unwrap_or_default();
    loaded.len() == count
        && loaded.values().all(|rows| {
            let rows = rows.iter().filter(|row| row.role != "dialling");
            let rows = rows.map(|row| {
                let row = row.clone();
                (row.side, row.role, row.fingerprint)
            });
            rows.collect::<BTreeSet<Row>>() == *wanted
        })
}

/// Authorities of the user's own, and Secrets filled by them as cert-manager or a person does.
pub struct Issuer {
    clients: Authority,
    members: Authority,
}

impl Issuer {
    pub fn new(name: &str) -> Result<Self> {
        Ok(Self {
            clients: Authority::new(&format!("{name} for clients"))?,
            members: Authority::new(&format!("{name} for members"))?,
        })
    }

    /// The three Secrets that a cluster is given. `trusted` are what is trusted beside the issuer.
    pub fn secrets(&self, cluster: &Cluster, days: i64, trusted: &[&Issuer]) -> Result<Vec<Value>> {
        let (name, namespace) = (cluster.name, &cluster.namespace);
        let peers = format!("*.{name}-peer.{namespace}.svc");
        let leaf = |common_name: &str, names: &[&str], for_servers: bool| Leaf {
            common_name: common_name.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            until: Duration::days(days),
            for_servers,
            ..Leaf::default()
        };
        let service = format!("{name}-client.{namespace}.svc");
        let shown = [peers.as_str(), &service, "localhost", "127.0.0.1"];
        let bundle = |of: fn(&Issuer) -> &Authority| {
            let all = trusted.iter().copied().chain([self]);
            all.map(|issuer| of(issuer).pem()).collect::<String>()
        };
        let (clients, members) = (bundle(|all| &all.clients), bundle(|all| &all.members));
        let server = self.clients.issue(&leaf("server", &shown, true))?;
        let peer = self.members.issue(&leaf("peer", &[&peers], true))?;
        let root = self.clients.issue(&leaf("root", &[], false))?;
        let nobody = self.clients.issue(&leaf("nobody", &[], false))?;
        Ok(vec![
            secret(cluster, "server", &server, &clients),
            secret(cluster, "peer", &peer, &members),
            secret(cluster, "operator", &root, &clients),
            // Nobody's but the test's: a certificate that is trusted and stands for no user.
            secret(cluster, "nobody", &nobody, &clients),
        ])
    }
}

/// What a spec says to be given them.
pub fn given(cluster: &Cluster) -> Value {
    let name = |kind: &str| format!("{}-{kind}", cluster.name);
    json!({"source": "Secrets", "secrets": {
        "server": name("server"), "peer": name("peer"), "operator": name("operator"),
    }})
}

fn secret(cluster: &Cluster, kind: &str, pair: &(String, String), bundle: &str) -> Value {
    let (certificate, key) = pair;
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": format!("{}-{kind}", cluster.name), "namespace": cluster.namespace},
        "stringData": {"tls.crt": certificate, "tls.key": key, "ca.crt": bundle},
    })
}

/// Another issuer takes over: first both are trusted, then its certificates come, then the former
/// is trusted no more. Members load each by themselves, and the operator can ask them all the time.
pub fn exchange(cluster: &Cluster, old: &Issuer, new: &Issuer, times: &mut Times) -> Result<()> {
    let before = cluster.pods()?;
    let until = cluster.get()?["status"]["certificatesUntil"].clone();
    let members = Members::open(cluster)?;
    let since = Instant::now();
    for secrets in [
        old.secrets(cluster, 30, &[new])?,
        new.secrets(cluster, 60, &[old])?,
        new.secrets(cluster, 60, &[])?,
    ] {
        cluster.kubectl.apply(&secrets)?;
        let wanted = wanted(&secrets)?;
        let what = "all members have loaded what they were given";
        xtask::process::wait_until(what, LIMIT, || Ok(uses(&members, before.len(), &wanted)))?;
        cluster.until_ready(u32::try_from(before.len())?)?;
    }
    times.note("given authorities exchanged", since.elapsed());
    same(&before, &cluster.pods()?)?;
    cluster.until("the status tells of the new certificates", |seen| {
        let now = &seen["status"]["certificatesUntil"];
        now.is_string() && *now != until
    })?;
    restarts(cluster)
}

/// What members find in Secrets that are given.
fn wanted(secrets: &[Value]) -> Result<BTreeSet<Row>> {
    let mut rows = BTreeSet::new();
    for (secret, side) in secrets.iter().zip(SIDES) {
        for (key, role) in ROLES {
            let text = secret["stringData"][key].as_str();
            rows.extend(named(
                side,
                role,
                text.context("a Secret without its keys")?,
            )?);
        }
    }
    Ok(rows)
}

/// SHA-256 of each certificate of a PEM text, in hexadecimal.
fn fingerprints(pem: &str) -> Result<Vec<String>> {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    let read = blocks.map(|block| {
        let text: String = block
            .split(END)
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let digest = Sha256::digest(STANDARD.decode(text)?);
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    });
    read.collect()
}

fn restarts(cluster: &Cluster) -> Result<()> {
    let path = "-o=jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    let words = ["get", "pods", "-l", &cluster.selector(), path];
    let counts = cluster.kubectl.run(&words)?;
    match counts.split_whitespace().all(|count| count == "0") {
        true => Ok(()),
        false => bail!("members were restarted: {counts}"),
    }
}
