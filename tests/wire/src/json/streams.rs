use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::body::Exchange;
use super::{Gateway, Gateways, normal, now};
use crate::options::Options;

/// The same stream on both sides.
struct Streams<'a> {
    sides: &'a [Gateway; 2],
    path: &'static str,
    exchanges: Vec<Exchange>,
}

impl<'a> Streams<'a> {
    async fn open(gateways: &'a Gateways, path: &'static str) -> Result<Streams<'a>> {
        Self::with(gateways, path, &[]).await
    }

    async fn with(
        gateways: &'a Gateways,
        path: &'static str,
        headers: &[(&str, &str)],
    ) -> Result<Streams<'a>> {
        let mut exchanges = Vec::new();
        for side in &gateways.sides {
            exchanges.push(Exchange::open(&side.door, path, headers).await?);
        }
        let sides = &gateways.sides;
        Ok(Streams {
            sides,
            path,
            exchanges,
        })
    }

    async fn whole(&mut self, pieces: &[&str]) -> Result<()> {
        for exchange in &mut self.exchanges {
            exchange.whole(pieces).await?;
        }
        Ok(())
    }

    /// The next line of both, which must be equal.
    async fn line(&mut self) -> Result<Option<Value>> {
        let mut lines = Vec::new();
        for (exchange, side) in self.exchanges.iter_mut().zip(self.sides) {
            let line = exchange.line().await;
            let mut line = line.with_context(|| format!("{} {}", self.path, side.cluster.label))?;
            if let Some(line) = &mut line {
                normal::normalise(self.path, line, &side.ids);
            }
            lines.push((exchange.status().await?, line));
        }
        if lines.first() != lines.get(1) {
            bail!(
                "{}\n  reference: {:?}\n  subject:   {:?}",
                self.path,
                lines[0],
                lines[1]
            );
        }
        Ok(lines.remove(0).1)
    }

    /// So many lines of both, in whatever order.
    async fn lines(&mut self, count: usize) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        for (exchange, side) in self.exchanges.iter_mut().zip(self.sides) {
            let mut lines = Vec::new();
            for _ in 0..count {
                let line = exchange.line().await.with_context(|| {
                    let so_far = Value::from(lines.clone());
                    format!("{} {} after {so_far}", self.path, side.cluster.label)
                })?;
                let mut line = line.with_context(|| format!("{} ends", side.cluster.label))?;
                normal::normalise(self.path, &mut line, &side.ids);
                lines.push(line);
            }
            lines.sort_by_key(Value::to_string);
            found.push(lines);
        }
        if found.first() != found.get(1) {
            bail!(
                "{}\n  reference: {:?}\n  subject:   {:?}",
                self.path,
                found[0],
                found[1]
            );
        }
        Ok(found.remove(0))
    }

    async fn some(&mut self) -> Result<Value> {
        self.line().await?.context("the stream has ended")
    }

    async fn end(&mut self) -> Result<()> {
        match self.line().await? {
            None => Ok(()),
            Some(line) => bail!("{}: the stream goes on with {line}", self.path),
        }
    }
}

pub async fn run(options: &Options) -> Result<Instant> {
    let since = now();
    let mut gateways = Gateways::start(options, &[]).await?;
    watch(&mut gateways).await.context("watch")?;
    keep_alive(&mut gateways).await.context("keepalive")?;
    observe(&mut gateways).await.context("observe")?;
    timeout(&gateways).await.context("timeout")?;
    broken(&gateways).await.context("broken requests")?;
    snapshot(&gateways).await.context("snapshot")?;
    Ok(since)
}

async fn watch(gateways: &mut Gateways) -> Result<()> {
    // Changes are made by requests of their own, so the watch goes over them afterwards.
    for value in ["b25l", "dHdv"] {
        gateways
            .post("/v3/kv/put", &json!({"key": "dw==", "value": value}))
            .await?;
    }
    // Two objects in one piece, and one object in two. The watches outlive the body.
    let pieces = [
        r#"{"create_request":{"key":"dw==","start_revision":"2","prev_kv":true}}"#,
        "{\"createRequest\":{\"key\":\"\",\"range_end\":\"AA==\",\"watch_id\":7}}\n  {\"create_r",
        r#"equest":{"key":"eA==","filters":["NOPUT"],"progress_notify":true}}"#,
        r#"{"cancel_request":{"watch_id":"7"}}"#,
        r#"{"create_request":{"key":"Yg==","range_end":"YQ=="}}"#,
    ];
    let mut streams = Streams::open(gateways, "/v3/watch").await?;
    streams.whole(&pieces).await?;
    // Old events come when etcd gets round to them, so the order of watches is free.
    let lines = streams.lines(6).await?;
    let events = lines
        .iter()
        .filter_map(|line| line["result"]["events"].as_array());
    if events.map(Vec::len).collect::<Vec<_>>() != [2] {
        bail!("two events in one response, not {lines:?}");
    }
    conversation(&gateways.sides).await
}

/// Requests and answers in turn on one body, which etcd does over a websocket only.
async fn conversation(sides: &[Gateway; 2]) -> Result<()> {
    let [etcd, subject] = sides;
    let mut exchange = Exchange::open(&subject.door, "/v3/watch", &[]).await?;
    exchange
        .send(r#"{"create_request":{"key":"eQ=="}}"#)
        .await?;
    created(&exchange.line().await?.context("no answer")?)?;
    for value in ["b25l", "dHdv"] {
        let put = json!({"key": "eQ==", "value": value}).to_string();
        // Both, so that their revisions stay equal.
        for side in [etcd, subject] {
            side.post("/v3/kv/put", &put).await?;
        }
        let event = exchange.line().await?.context("no event")?;
        if event["result"]["events"][0]["kv"]["value"] != value {
            bail!("the event of the put comes, not {event}");
        }
    }
    exchange
        .send(r#"{"cancel_request":{"watch_id":"0"}}"#)
        .await?;
    let canceled = exchange.line().await?.context("no answer")?;
    if canceled["result"]["canceled"] != true {
        bail!("a cancelled watch says so, not {canceled}");
    }
    Ok(())
}

fn created(line: &Value) -> Result<()> {
    if line["result"]["created"] != true {
        bail!("a watch is created first, not {line}");
    }
    Ok(())
}

async fn keep_alive(gateways: &mut Gateways) -> Result<()> {
    gateways
        .post("/v3/lease/grant", &json!({"TTL": "500", "ID": "21"}))
        .await?;
    let mut streams = Streams::open(gateways, "/v3/lease/keepalive").await?;
    streams.whole(&[r#"{"ID":"21"}{"ID":22}"#]).await?;
    let beat = streams.some().await?;
    if beat["result"]["TTL"] != "500" {
        bail!("a lease is renewed to its whole time, not {beat}");
    }
    streams.some().await?;
    streams.end().await?;
    // A request that ends before it has begun is answered with nothing.
    let mut silent = Streams::open(gateways, "/v3/lease/keepalive").await?;
    silent.whole(&[]).await?;
    silent.end().await
}

async fn observe(gateways: &mut Gateways) -> Result<()> {
    gateways
        .post("/v3/lease/grant", &json!({"TTL": "500", "ID": "31"}))
        .await?;
    let campaign = json!({"name": "b2Jz", "lease": "31", "value": "b25l"});
    gateways.post("/v3/election/campaign", &campaign).await?;
    let mut streams = Streams::open(gateways, "/v3/election/observe").await?;
    streams.whole(&[r#"{"name":"b2Jz"}"#]).await?;
    let leader = streams.some().await?;
    if leader["result"]["kv"]["value"] != "b25l" {
        bail!("the leader of now comes first, not {leader}");
    }
    // Each proclaims while it is observed.
    for side in &gateways.sides {
        let put = json!({"key": "b2JzLzFm", "value": "dHdv", "lease": "31"}).to_string();
        side.raw("/v3/kv/put", &put).await?;
    }
    let next = streams.some().await?;
    if next["result"]["kv"]["value"] != "dHdv" {
        bail!("what the leader proclaims comes next, not {next}");
    }
    Ok(())
}

/// `Grpc-Timeout` ends a stream, and a unary call that waits.
async fn timeout(gateways: &Gateways) -> Result<()> {
    let mut streams = Streams::with(gateways, "/v3/watch", &[("Grpc-Timeout", "700m")]).await?;
    streams
        .whole(&[r#"{"create_request":{"key":"eA=="}}"#])
        .await?;
    created(&streams.some().await?)?;
    if streams.some().await?["error"]["code"] != 4 {
        bail!("a stream whose time is over says so");
    }
    streams.end().await
}

/// Where etcd leaves a client without a word (it answers nothing, or nothing more), the server
/// under test says what is wrong: see the table of deviations in store/api.
async fn broken(gateways: &Gateways) -> Result<()> {
    let [etcd, subject] = &gateways.sides;
    for (path, text, status) in [
        ("/v3/watch", r#"{"create_request":{"key":"5"}}"#, 400),
        ("/v3/watch", "nonsense", 400),
        ("/v3/lease/keepalive", r#"{"ID":"21"}{"ID":"x"}"#, 200),
        ("/v3/lease/keepalive", r#"{"ID":"21"}{"ID":"#, 200),
    ] {
        let mut exchange = Exchange::open(&subject.door, path, &[]).await?;
        exchange.whole(&[text]).await?;
        if exchange.status().await? != status {
            bail!("{path} {text}: status {}", exchange.status().await?);
        }
        let mut last = None;
        while let Some(line) = exchange.line().await? {
            last = Some(line);
        }
        let last = last.with_context(|| format!("{path} {text}: no line"))?;
        if last["error"]["code"] != 3 {
            bail!("{path} {text}: {last}");
        }
        let silent = tokio::time::timeout(Duration::from_millis(500), async {
            let mut exchange = Exchange::open(&etcd.door, path, &[]).await?;
            exchange.whole(&[text]).await?;
            while let Some(line) = exchange.line().await? {
                if line["error"] != Value::Null {
                    return Ok::<_, anyhow::Error>(false);
                }
            }
            Ok(true)
        });
        // No error line by its end, or no end at all.
        if let Ok(silent) = silent.await
            && !silent?
        {
            bail!("{path} {text}: etcd tells the error by now; compare it");
        }
    }
    Ok(())
}

/// The one stream of a request that is not a stream. Its bytes are each server's own, and so is
/// whether the server under test has it yet.
async fn snapshot(gateways: &Gateways) -> Result<()> {
    for (side, must) in gateways.sides.iter().zip([true, false]) {
        let mut exchange = Exchange::open(&side.door, "/v3/maintenance/snapshot", &[]).await?;
        exchange.whole(&["{}"]).await?;
        let line = exchange
            .line()
            .await?
            .context("a snapshot has a first line")?;
        let blob = line["result"]["blob"].as_str().unwrap_or_default();
        let unknown = line["error"]["code"] == 12 && exchange.status().await? == 501;
        if blob.is_empty() && (must || !unknown) {
            bail!("snapshot of {}: {line}", side.cluster.label);
        }
    }
    Ok(())
}
