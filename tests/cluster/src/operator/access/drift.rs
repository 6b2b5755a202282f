//! How soon a key is put right that somebody else has changed, as a client sees it; and what becomes
//! of one who does not stop.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mainstay_client::watch::{Seen, Watch};
use mainstay_client::{Client, EventType, TlsPem};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::keys::{set, until_key};
use crate::operator::cluster::{Cluster, LIMIT};
use crate::operator::etcdctl::Etcdctl;
use crate::operator::install;
use crate::operator::times::Times;

/// Keys that are changed once and deleted once each.
const TRIALS: usize = 60;
/// More corrections of one key within a minute than the operator makes.
const TOO_MANY: usize = 11;

/// A client by the certificate for people, past the same relay as etcdctl.
fn client(cluster: &Cluster, etcdctl: &Etcdctl) -> Result<Client> {
    let secret = format!("{}-client-tls", cluster.name);
    let [trusted_ca, certificate, key] = cluster.credentials(&secret)?;
    let pem = TlsPem {
        trusted_ca,
        certificate,
        key,
    };
    let endpoint = format!("https://{}", etcdctl.address());
    Ok(Client::builder().endpoint(endpoint).tls_pem(pem).build()?)
}

fn spec(prefix: &str, keys: usize) -> Value {
    let keys = (0..keys).map(|at| json!({"key": format!("k{at:02}"), "value": "declared"}));
    json!({"prefix": prefix, "keys": keys.collect::<Vec<_>>()})
}

/// Waits until the key has its value again, after the change at `revision`.
async fn until_back(watch: &mut Watch, key: &str, revision: i64) -> Result<()> {
    let back = async {
        while let Some(seen) = watch.next().await {
            let Seen::Events { events, .. } = seen? else {
                continue;
            };
            let back = events.iter().any(|event| {
                let kv = event.kv.as_ref();
                event.r#type == EventType::Put as i32
                    && kv.is_some_and(|kv| {
                        kv.key == key && kv.value == "declared" && kv.mod_revision > revision
                    })
            });
            if back {
                return Ok(());
            }
        }
        bail!("the watch has ended")
    };
    timeout(LIMIT, back)
        .await
        .with_context(|| format!("{key} is not put right"))?
}

async fn trials(client: &Client, deletes: bool) -> Result<Vec<Duration>> {
    let mut watch = client.watch("many/").prefix().await?;
    let mut took = Vec::new();
    for at in 0..TRIALS {
        let key = format!("many/k{at:02}");
        let revision = match deletes {
            true => client.delete(&key).await?.revision,
            false => client.put(&key, "by another").await?.revision,
        };
        let since = Instant::now();
        until_back(&mut watch, &key, revision).await?;
        took.push(since.elapsed());
    }
    Ok(took)
}

/// Puts and deletes, one after the other, and a few by etcdctl; all of them are counted.
pub fn measured(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    let many = set(cluster, "many");
    many.apply(&spec("many/", TRIALS))?;
    many.until_good()?;
    let runtime = Runtime::new().context("no runtime for the client")?;
    let _inside = runtime.enter();
    let client = client(cluster, &etcdctl)?;
    let puts = runtime.block_on(trials(&client, false))?;
    times.spread("a key changed by another, to its value back", puts);
    let deletes = runtime.block_on(trials(&client, true))?;
    times.spread("a key deleted by another, to its value back", deletes);
    etcdctl.put("many/k00", "by etcdctl")?;
    until_key(&etcdctl, "many/k00", Some("declared"))?;
    etcdctl.run(&["del", "many/", "--prefix"])?;
    for key in ["many/k00", "many/k59"] {
        until_key(&etcdctl, key, Some("declared"))?;
    }
    let all = 3 * TRIALS + 1;
    many.until("all of it is counted", |seen| {
        seen["status"]["drifts"] == all && seen["status"]["inSync"] == TRIALS
    })?;
    metrics(cluster, times)?;
    many.delete()
}

/// What the operator itself says of it.
fn metrics(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let words = [
        "get",
        "pods",
        "-n",
        install::NAMESPACE,
        "-l=app.kubernetes.io/name=mainstay-operator",
        "-o=jsonpath={.items[0].metadata.name}",
    ];
    let pod = cluster.kubectl.run(&words)?;
    let path = format!(
        "/api/v1/namespaces/{}/pods/{pod}:8080/proxy/metrics",
        install::NAMESPACE
    );
    let text = cluster.kubectl.run(&["get", "--raw", &path])?;
    let value = |row: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(row));
        found.and_then(|rest| rest.trim().parse::<f64>().ok())
    };
    let name = "mainstay_operator_keyset_correction_seconds";
    let count = value(&format!("{name}_count")).context("no histogram of corrections")?;
    let sum = value(&format!("{name}_sum")).context("no sum of corrections")?;
    ensure!(
        count >= (2 * TRIALS) as f64,
        "{count} corrections are measured"
    );
    times.say(format!(
        "the operator's own measure: {count} corrections, {:.1} ms each from seen to corrected",
        1000.0 * sum / count
    ));
    let kind = "mainstay_operator_drifts_corrected_total{kind=\"MainstayKeySet\"}";
    ensure!(
        value(kind).is_some_and(|count| count >= (3 * TRIALS) as f64),
        "{text}"
    );
    Ok(())
}

/// It is put right ten times, rests then, and has its value again once it has rested.
pub fn contested(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    let fought = set(cluster, "fought");
    fought.apply(&spec("fought/", 2))?;
    fought.until_good()?;
    let runtime = Runtime::new().context("no runtime for the client")?;
    let _inside = runtime.enter();
    let client = client(cluster, &etcdctl)?;
    runtime.block_on(async {
        let mut watch = client.watch("fought/").prefix().await?;
        for _ in 0..TOO_MANY {
            let revision = client.put("fought/k00", "by another").await?.revision;
            until_back(&mut watch, "fought/k00", revision).await?;
        }
        client.put("fought/k00", "by another").await?;
        anyhow::Ok(())
    })?;
    let since = Instant::now();
    fought.until_told("Contested", "1 keys")?;
    // Others of the set are kept meanwhile.
    etcdctl.put("fought/k01", "by another")?;
    until_key(&etcdctl, "fought/k01", Some("declared"))?;
    until_key(&etcdctl, "fought/k00", Some("declared"))?;
    times.note("a key that is fought for: rested", since.elapsed());
    fought.until_good()?;
    fought.delete()
}
