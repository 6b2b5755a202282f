use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, GetOptions, KeyValue, PutOptions, ResponseHeader,
    SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse, WatchFilterType, WatchOptions,
};

use crate::cluster::{Cluster, Plan};
use crate::options::Options;
use xtask::tally::Tally;

/// How long a watch may take for one response.
const WATCH_WAIT: Duration = Duration::from_secs(10);

/// The parts of the script, in their order.
pub const PARTS: [&str; 5] = ["kv", "txn", "lease", "watch", "maintenance"];

/// What a part of the script was told, in words that are equal wherever the server is right.
type Told = Result<Vec<String>>;

/// The same calls with the `etcd-client` crate on three members of each product.
pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    let mut clients = Vec::new();
    let mut clusters = Vec::new();
    for (binary, label) in [
        (options.etcd(), "etcd"),
        (options.subject.clone(), "subject"),
    ] {
        let cluster = Cluster::start(&Plan::new(&binary, label, 3)).await?;
        let endpoints: Vec<String> = cluster.peers.iter().map(|peer| peer.client_url()).collect();
        clients.push(Client::connect(endpoints, None).await?);
        clusters.push(cluster);
    }
    let [reference, subject] = &mut clients[..] else {
        bail!("two clients are needed")
    };
    for part in PARTS {
        let since = Instant::now();
        let (a, b) = tokio::join!(play(part, reference), play(part, subject));
        let name = format!("rust-client {part}");
        match (a, b) {
            (Ok(a), Ok(b)) if a == b && !a.is_empty() => tally.pass(&name, since),
            (Ok(a), Ok(b)) => {
                let at = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
                let report = format!("  at {at}\n  {:?}\n  {:?}", a.get(at), b.get(at));
                tally.fail(&name, &report);
            }
            (a, b) => tally.fail(&name, &format!("  {:?}\n  {:?}", a.err(), b.err())),
        }
    }
    drop(clusters);
    Ok(tally.close())
}

/// Plays one part on a fresh store, or behind the parts before it.
pub async fn play(part: &str, client: &mut Client) -> Told {
    match part {
        "kv" => kv(client).await,
        "txn" => txn(client).await,
        "lease" => lease(client).await,
        "watch" => watch(client).await,
        _ => maintenance(client).await,
    }
}

fn record(kv: &KeyValue) -> String {
    format!(
        "{:?}={:?} created {} modified {} version {} leased {}",
        String::from_utf8_lossy(kv.key()),
        String::from_utf8_lossy(kv.value()),
        kv.create_revision(),
        kv.mod_revision(),
        kv.version(),
        kv.lease() != 0
    )
}

fn at(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(-1, ResponseHeader::revision)
}

async fn kv(client: &mut Client) -> Told {
    let mut told = Vec::new();
    for (key, value) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "")] {
        let put = client
            .put(key, value, Some(PutOptions::new().with_prev_key()))
            .await?;
        told.push(format!(
            "{} {:?}",
            at(put.header()),
            put.prev_key().map(record)
        ));
    }
    for options in [
        GetOptions::new().with_all_keys(),
        GetOptions::new().with_all_keys().with_limit(1),
        GetOptions::new().with_all_keys().with_count_only(),
        GetOptions::new().with_all_keys().with_keys_only(),
        GetOptions::new().with_all_keys().with_revision(3),
        GetOptions::new().with_all_keys().with_serializable(),
        GetOptions::new()
            .with_from_key()
            .with_sort(SortTarget::Mod, SortOrder::Descend),
        GetOptions::new()
            .with_range("c")
            .with_sort(SortTarget::Value, SortOrder::Ascend),
        GetOptions::new().with_prefix().with_min_mod_revision(4),
    ] {
        let got = client.get("a", Some(options)).await?;
        let kvs: Vec<String> = got.kvs().iter().map(record).collect();
        told.push(format!("{} {} {kvs:?}", got.count(), got.more()));
    }
    for (key, options) in [("", None), ("a", Some(GetOptions::new().with_revision(99)))] {
        told.push(format!(
            "{}",
            client.get(key, options).await.err().context("no error")?
        ));
    }
    let options = DeleteOptions::new().with_range("c").with_prev_key();
    let deleted = client.delete("a", Some(options)).await?;
    let before: Vec<String> = deleted.prev_kvs().iter().map(record).collect();
    told.push(format!(
        "{} {} {before:?}",
        at(deleted.header()),
        deleted.deleted()
    ));
    told.push(format!("{}", at(client.compact(5, None).await?.header())));
    told.push(format!(
        "{}",
        client.compact(5, None).await.err().context("no error")?
    ));
    Ok(told)
}

async fn txn(client: &mut Client) -> Told {
    let mut told = Vec::new();
    for expected in ["nothing", "1"] {
        let inner = Txn::new().and_then(vec![TxnOp::get("t", None)]);
        let txn = Txn::new()
            .when(vec![
                Compare::value("t", CompareOp::Equal, expected),
                Compare::version("t", CompareOp::Greater, 0),
            ])
            .and_then(vec![TxnOp::put("t2", "2", None), TxnOp::txn(inner)])
            .or_else(vec![
                TxnOp::put("t", "1", None),
                TxnOp::delete("none", None),
            ]);
        let answer = client.txn(txn).await?;
        told.push(format!("{} {}", at(answer.header()), answer.succeeded()));
        for response in answer.op_responses() {
            told.push(match response {
                TxnOpResponse::Put(put) => format!("put {}", at(put.header())),
                TxnOpResponse::Get(got) => format!("get {}", got.count()),
                TxnOpResponse::Delete(deleted) => format!("delete {}", deleted.deleted()),
                TxnOpResponse::Txn(inner) => format!("txn {}", inner.succeeded()),
            });
        }
    }
    let twice = vec![TxnOp::put("d", "1", None), TxnOp::put("d", "2", None)];
    let refused = client.txn(Txn::new().and_then(twice)).await;
    told.push(format!("{}", refused.err().context("no error")?));
    Ok(told)
}

async fn lease(client: &mut Client) -> Told {
    let mut told = Vec::new();
    let granted = client.lease_grant(600, None).await?;
    let id = granted.id();
    told.push(format!("ttl {} positive {}", granted.ttl(), id > 0));
    client
        .put("leased", "v", Some(PutOptions::new().with_lease(id)))
        .await?;
    let (mut keeper, mut beats) = client.lease_keep_alive(id).await?;
    for _ in 0..3 {
        keeper.keep_alive().await?;
        let beat = beats.message().await?.context("the stream has ended")?;
        told.push(format!("beat {} {}", beat.id() == id, beat.ttl()));
    }
    let options = etcd_client::LeaseTimeToLiveOptions::new().with_keys();
    let left = client.lease_time_to_live(id, Some(options)).await?;
    told.push(format!(
        "{} {:?} {}",
        left.granted_ttl(),
        left.keys(),
        left.ttl() > 590
    ));
    told.push(format!("{}", client.leases().await?.leases().len()));
    told.push(format!("{}", at(client.lease_revoke(id).await?.header())));
    told.push(format!("{}", client.get("leased", None).await?.count()));
    let gone = client.lease_revoke(id).await;
    told.push(format!("{}", gone.err().context("no error")?));
    Ok(told)
}

async fn watch(client: &mut Client) -> Told {
    let mut told = Vec::new();
    let first = at(client.put("w/0", "0", None).await?.header());
    let options = WatchOptions::new()
        .with_prefix()
        .with_prev_key()
        .with_start_revision(first);
    let mut stream = client.watch("w/", Some(options)).await?;
    for key in ["w/1", "w/2", "w/1"] {
        client.put(key, "v", None).await?;
    }
    let last = at(client.delete("w/1", None).await?.header());
    let mut events = Vec::new();
    let mut newest = 0;
    while newest < last {
        let message = tokio::time::timeout(WATCH_WAIT, stream.message()).await;
        let message = message
            .context("no event")??
            .context("the stream has ended")?;
        for event in message.events() {
            let kv = event.kv().context("an event without record")?;
            newest = kv.mod_revision();
            let before = event.prev_kv().map(record);
            events.push(format!(
                "{:?} {} {before:?}",
                event.event_type(),
                record(kv)
            ));
        }
    }
    told.extend(events);
    let filtered = WatchOptions::new()
        .with_watch_id(7)
        .with_start_revision(first)
        .with_filters(vec![WatchFilterType::NoPut]);
    stream.watch("w/1", Some(filtered)).await?;
    let mut seen = 0;
    while seen < 2 {
        let message = tokio::time::timeout(WATCH_WAIT, stream.message()).await;
        let message = message
            .context("no answer")??
            .context("the stream has ended")?;
        let (id, created) = (message.watch_id(), message.created());
        told.push(format!(
            "watch {id} created {created} events {}",
            message.events().len()
        ));
        seen += 1;
    }
    stream.cancel(7).await?;
    let message = stream.message().await?.context("the stream has ended")?;
    told.push(format!(
        "watch {} canceled {}",
        message.watch_id(),
        message.canceled()
    ));
    Ok(told)
}

async fn maintenance(client: &mut Client) -> Told {
    let status = client.status().await?;
    let mut told = vec![format!(
        "{} {} {}",
        status.version().starts_with("3.7."),
        status.leader() != 0,
        status.is_learner()
    )];
    let hash = client.hash_kv(0).await?;
    told.push(format!("hash at {}", hash.compact_version()));
    client.defragment().await?;
    let members = client.member_list().await?;
    told.push(format!("{} members", members.members().len()));
    let refused = client.move_leader(12_345).await;
    told.push(format!("move leader refused {}", refused.is_err()));
    Ok(told)
}
