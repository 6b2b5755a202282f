//! The spans that a member exports of calls with a `traceparent`, compared with etcd's: names, kinds,
//! attributes, events, status, and which span is below which.

mod collector;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mainstay_proto::etcdserverpb as pb;
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::{Request, Status};

use crate::cluster::{Cluster, Plan};
use crate::options::Options;
use crate::target::{Connection, Target};
use collector::{Collector, attributes};

/// Both exporters send every five seconds.
const SPANS_WAIT: Duration = Duration::from_secs(30);
const SPANS_POLL: Duration = Duration::from_millis(100);

/// The span of the client that every call is made in.
const CLIENT_SPAN: &str = "b7ad6b7169203331";
const LEASE: i64 = 4711;

/// Calls, each in a trace of its own, with the spans it must leave.
const CALLS: &[(&str, &[&str])] = &[
    ("put", &["etcdserverpb.KV/Put", "put"]),
    ("range", &["etcdserverpb.KV/Range", "range"]),
    (
        "range stream",
        &["etcdserverpb.KV/RangeStream", "range_streaming"],
    ),
    ("txn", &["etcdserverpb.KV/Txn", "txn"]),
    ("read-only txn", &["etcdserverpb.KV/Txn", "txn"]),
    ("delete", &["delete_range", "etcdserverpb.KV/DeleteRange"]),
    ("compact", &["compact", "etcdserverpb.KV/Compact"]),
    ("grant", &["etcdserverpb.Lease/LeaseGrant", "lease_grant"]),
    (
        "keep alive",
        &["etcdserverpb.Lease/LeaseKeepAlive", "lease_renew"],
    ),
    (
        "revoke",
        &["etcdserverpb.Lease/LeaseRevoke", "lease_revoke"],
    ),
    ("members", &["etcdserverpb.Cluster/MemberList"]),
    ("watch", &["etcdserverpb.Watch/Watch", "watch", "watch"]),
    ("refused put", &["etcdserverpb.KV/Put"]),
    (
        "put with a lease that is not there",
        &["etcdserverpb.KV/Put", "put"],
    ),
];
/// A call whose client has chosen not to trace it.
const UNSAMPLED: &str = "unsampled put";

/// What is compared of one span.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    name: String,
    /// The name of the span above it, or the client's.
    below: String,
    kind: i32,
    attributes: BTreeMap<String, String>,
    events: Vec<String>,
    status: Option<(i32, String)>,
}

/// Makes the calls at a member of each product, and compares what their collectors were sent.
pub async fn check(options: &Options) -> Result<()> {
    let (etcd, subject) = (options.etcd(), options.subject().to_owned());
    let (reference, subject) = tokio::join!(
        spans_of(Plan::new(&etcd, "etcd", 1)),
        spans_of(Plan::new(&subject, "subject", 1)),
    );
    let (reference, subject) = (reference?, subject?);
    for (call, expected) in &reference {
        let got = subject.get(call);
        if got != Some(expected) {
            bail!("spans of {call}\n  reference: {expected:#?}\n  subject:   {got:#?}");
        }
    }
    Ok(())
}

async fn spans_of(plan: Plan) -> Result<BTreeMap<String, Vec<Seen>>> {
    let label = plan.label;
    let collector = Collector::start().await?;
    let plan = plan
        .flag("--enable-distributed-tracing")
        .flag(format!(
            "--distributed-tracing-address={}",
            collector.address
        ))
        .flag("--distributed-tracing-service-name=store")
        .flag("--distributed-tracing-instance-id=m0");
    // The rate is left at 0: what is sampled is what its client has chosen to trace.
    let cluster = Cluster::start(&plan).await?;
    let target = Target::open(&cluster).await?;
    calls(target.at(0)).await.context(label)?;
    let seen = wait(&collector).await.context(label)?;
    let taken = collector.taken.lock();
    for resource in &taken.resources {
        let of = |name: &str| resource.get(name).map(String::as_str);
        if of("service.name") != Some("\"store\"") || of("service.instance.id") != Some("\"m0\"") {
            bail!("{label}: spans of {resource:?}");
        }
    }
    Ok(seen)
}

/// Waits until every call has left its spans, and returns them by call.
async fn wait(collector: &Collector) -> Result<BTreeMap<String, Vec<Seen>>> {
    let deadline = Instant::now() + SPANS_WAIT;
    loop {
        let spans = collector.taken.lock().spans.clone();
        let mut missing = Vec::new();
        let mut seen = BTreeMap::new();
        for (at, (call, expected)) in CALLS.iter().enumerate() {
            let of_call = seen_of(&spans, &trace_id(at))?;
            let names: Vec<&str> = of_call.iter().map(|span| span.name.as_str()).collect();
            if names != *expected {
                missing.push(format!("{call}: {names:?}"));
            }
            seen.insert((*call).to_owned(), of_call);
        }
        if missing.is_empty() {
            let unsampled = seen_of(&spans, &trace_id(CALLS.len()))?;
            if !unsampled.is_empty() || spans.len() != seen.values().map(Vec::len).sum::<usize>() {
                bail!(
                    "spans that nobody asked for: {unsampled:?} of {}",
                    spans.len()
                );
            }
            return Ok(seen);
        }
        if Instant::now() > deadline {
            bail!("after {SPANS_WAIT:?}: {missing:#?}");
        }
        tokio::time::sleep(SPANS_POLL).await;
    }
}

/// The spans of one trace by name; whatever is of one product or run alone is left out.
fn seen_of(spans: &[Span], trace: &str) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for span in spans.iter().filter(|span| hex(&span.trace_id) == trace) {
        let parent = hex(&span.parent_span_id);
        let above = spans.iter().find(|other| hex(&other.span_id) == parent);
        let below = match above {
            Some(above) => above.name.clone(),
            None if parent == CLIENT_SPAN => "the client's".to_owned(),
            None => bail!("{} is below {parent:?}, which nobody knows", span.name),
        };
        if span.end_time_unix_nano < span.start_time_unix_nano || span.start_time_unix_nano == 0 {
            bail!("{} has no time", span.name);
        }
        let mut attributes = attributes(&span.attributes);
        if let Some(port) = attributes.get_mut("server.port") {
            "the member's".clone_into(port);
        }
        let status = span.status.as_ref();
        seen.push(Seen {
            name: span.name.clone(),
            below,
            kind: span.kind,
            attributes,
            events: span.events.iter().map(|event| event.name.clone()).collect(),
            status: status
                .map(|status| (status.code, status.message.clone()))
                .filter(|status| *status != (0, String::new())),
        });
    }
    seen.sort_unstable();
    Ok(seen)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn trace_id(call: usize) -> String {
    format!("{:032x}", 0xabc0_0000 + call)
}

/// A message in the trace of a call.
fn traced<T>(call: &str, message: T) -> Result<Request<T>> {
    let at = CALLS.iter().position(|(name, _)| *name == call);
    let (at, sampled) = (at.unwrap_or(CALLS.len()), u8::from(at.is_some()));
    let parent = format!("00-{}-{CLIENT_SPAN}-{sampled:02x}", trace_id(at));
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("traceparent", parent.parse()?);
    Ok(request)
}

fn put(key: &str, lease: i64) -> pb::PutRequest {
    pb::PutRequest {
        key: key.to_owned().into(),
        value: "value".into(),
        lease,
        ..Default::default()
    }
}

fn range() -> pb::RangeRequest {
    pb::RangeRequest {
        key: "a".into(),
        range_end: "z".into(),
        limit: 5,
        ..Default::default()
    }
}

async fn calls(member: &Connection) -> Result<()> {
    let mut kv = member.kv.clone();
    kv.put(traced("put", put("k", 0))?).await?;
    kv.range(traced("range", range())?).await?;
    let streamed = kv.range_stream(traced("range stream", range())?).await?;
    drain(streamed.into_inner()).await?;
    kv.txn(traced("txn", txn(false))?).await?;
    kv.txn(traced("read-only txn", txn(true))?).await?;
    let delete = pb::DeleteRangeRequest {
        key: "k".into(),
        range_end: "l".into(),
        ..Default::default()
    };
    kv.delete_range(traced("delete", delete)?).await?;
    watch(member).await?;
    let compact = pb::CompactionRequest {
        revision: 2,
        physical: true,
    };
    kv.compact(traced("compact", compact)?).await?;
    leases(member).await?;
    let list = pb::MemberListRequest { linearizable: true };
    let mut cluster = member.cluster.clone();
    cluster.member_list(traced("members", list)?).await?;
    let refused = [
        ("refused put", put("", 0)),
        ("put with a lease that is not there", put("k", 99)),
    ];
    for (call, request) in refused {
        if kv.put(traced(call, request)?).await.is_ok() {
            bail!("{call} was taken");
        }
    }
    kv.put(traced(UNSAMPLED, put("k", 0))?).await?;
    Ok(())
}

fn txn(read_only: bool) -> pb::TxnRequest {
    use pb::request_op::Request as Op;
    let operation = match read_only {
        true => Op::RequestRange(range()),
        false => Op::RequestPut(put("t", 0)),
    };
    pb::TxnRequest {
        compare: vec![pb::Compare {
            key: "k".into(),
            result: pb::compare::CompareResult::Greater as i32,
            target: pb::compare::CompareTarget::Version as i32,
            target_union: Some(pb::compare::TargetUnion::Version(0)),
            ..Default::default()
        }],
        success: vec![pb::RequestOp {
            request: Some(operation),
        }],
        failure: Vec::new(),
    }
}

async fn drain<T>(mut stream: tonic::Streaming<T>) -> Result<(), Status> {
    while stream.message().await?.is_some() {}
    Ok(())
}

/// Two watches on one stream: one is cancelled, the other ends with its client.
async fn watch(member: &Connection) -> Result<()> {
    use pb::watch_request::RequestUnion;
    let create = |watch_id, key: &str, range_end: &str| {
        RequestUnion::CreateRequest(pb::WatchCreateRequest {
            key: key.to_owned().into(),
            range_end: range_end.to_owned().into(),
            start_revision: 1,
            prev_kv: true,
            watch_id,
            ..Default::default()
        })
    };
    let cancel = RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: 7 });
    let (send, requests) = tokio::sync::mpsc::channel(4);
    for union in [create(7, "k", ""), create(8, "a", "\0"), cancel] {
        let request = pb::WatchRequest {
            request_union: Some(union),
        };
        send.send(request).await?;
    }
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut watching = member.watch.clone();
    let mut events = watching
        .watch(traced("watch", requests)?)
        .await?
        .into_inner();
    let (mut cancelled, mut seen) = (false, 0);
    while !cancelled || seen == 0 {
        let response = events.message().await?.context("the watch ended")?;
        cancelled |= response.canceled;
        seen += response.events.len();
    }
    Ok(())
}

async fn leases(member: &Connection) -> Result<()> {
    let mut lease = member.lease.clone();
    let grant = pb::LeaseGrantRequest { ttl: 60, id: LEASE };
    lease.lease_grant(traced("grant", grant)?).await?;
    let renew = tokio_stream::once(pb::LeaseKeepAliveRequest { id: LEASE });
    let renewed = lease.lease_keep_alive(traced("keep alive", renew)?).await?;
    drain(renewed.into_inner()).await?;
    let revoke = pb::LeaseRevokeRequest { id: LEASE };
    lease.lease_revoke(traced("revoke", revoke)?).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_a_trace_of_its_own() {
        let of = |call| {
            let request = traced(call, ()).unwrap();
            let parent = request.metadata().get("traceparent").unwrap();
            parent.to_str().unwrap().to_owned()
        };
        assert!(of("put").ends_with("-01") && of(UNSAMPLED).ends_with("-00"));
        assert_ne!(of("put"), of("range"));
    }
}
