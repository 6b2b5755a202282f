use std::time::Instant;

use anyhow::{Result, bail};
use mainstay_proto::etcdserverpb::{
    self as pb, range_request::SortTarget, request_op::Request as Arm,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tonic::Code;

use super::{Gateways, is_missing, now, same, style};
use crate::generate::Generator;
use crate::normalise::{Ids, txn_outbound};
use crate::options::Options;
use crate::outcome::Outcome;
use crate::request::{Op, Request};
use crate::world::World;

/// Seeds of a run that does not name one; each has a cluster of its own.
const SEEDS: u64 = 4;

/// The generator of `diff`, with JSON in place of gRPC and each request in a form of its own.
pub async fn run(options: &Options) -> Result<Instant> {
    let since = now();
    let seeds = options.seeds.min(SEEDS);
    for seed in options.start_seed..options.start_seed + seeds {
        one(options, seed).await?;
    }
    Ok(since)
}

async fn one(options: &Options, seed: u64) -> Result<()> {
    let mut gateways = Gateways::start(options, &[]).await?;
    let mut generator = Generator::new(seed);
    let mut forms = StdRng::seed_from_u64(seed);
    let mut world = World::new(1);
    let mut sent = 0;
    for at in 0..options.ops {
        let mut op = generator.next(&world);
        if !settle(&mut op.request) {
            continue;
        }
        let outcome = step(&mut gateways, &mut forms, &op).await;
        let outcome = outcome.map_err(|error| {
            error.context(format!("seed {seed}, operation {at}: {}", op.describe()))
        })?;
        if options.trace {
            println!("{at:>5} {}\n      {}", op.describe(), outcome.text);
        }
        world.note(&op, &outcome);
        sent += 1;
    }
    // Half of what the generator makes has a path that is not a stream.
    if sent < options.ops / 2 {
        bail!(
            "seed {seed}: only {sent} of {} requests were sent",
            options.ops
        );
    }
    Ok(())
}

/// Leaves out what is no unary path, and ties of a sort: their order is free, and `diff` looks
/// at them.
fn settle(request: &mut Request) -> bool {
    match request {
        Request::Range(range) => by_key(range),
        Request::Txn(txn) => by_key_in(txn),
        Request::Put(_)
        | Request::DeleteRange(_)
        | Request::Compact(_)
        | Request::LeaseGrant(_)
        | Request::LeaseRevoke(_)
        | Request::LeaseTimeToLive(_)
        | Request::LeaseLeases
        | Request::MemberList(_)
        | Request::Status
        | Request::Defragment
        | Request::HashKv(_)
        | Request::Alarm(_) => {}
        _ => return false,
    }
    true
}

fn by_key(range: &mut pb::RangeRequest) {
    if SortTarget::try_from(range.sort_target).is_ok() {
        range.sort_target = SortTarget::Key as i32;
    }
}

fn by_key_in(txn: &mut pb::TxnRequest) {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match &mut op.request {
            Some(Arm::RequestRange(range)) => by_key(range),
            Some(Arm::RequestTxn(inner)) => by_key_in(inner),
            _ => {}
        }
    }
}

/// Path and body, with the ids of one side.
fn render(forms: &mut StdRng, request: &Request, ids: &Ids) -> Option<(&'static str, Value)> {
    macro_rules! write {
        ($path:literal, $name:literal, $message:expr) => {{
            let name = concat!("etcdserverpb.", $name);
            Some(($path, style::write(forms, name, &$message)))
        }};
    }
    match request {
        Request::Range(range) => write!("kv/range", "RangeRequest", range.clone()),
        Request::Put(put) => {
            let lease = ids.real_lease(put.lease);
            write!(
                "kv/put",
                "PutRequest",
                pb::PutRequest {
                    lease,
                    ..put.clone()
                }
            )
        }
        Request::DeleteRange(delete) => {
            write!("kv/deleterange", "DeleteRangeRequest", delete.clone())
        }
        Request::Txn(txn) => {
            let mut txn = txn.clone();
            txn_outbound(&mut txn, ids);
            write!("kv/txn", "TxnRequest", txn)
        }
        Request::Compact(compact) => write!("kv/compaction", "CompactionRequest", *compact),
        Request::LeaseGrant(grant) => write!("lease/grant", "LeaseGrantRequest", *grant),
        Request::LeaseRevoke(revoke) => {
            let id = ids.real_lease(revoke.id);
            write!(
                "lease/revoke",
                "LeaseRevokeRequest",
                pb::LeaseRevokeRequest { id }
            )
        }
        Request::LeaseTimeToLive(ask) => {
            let id = ids.real_lease(ask.id);
            let ask = pb::LeaseTimeToLiveRequest { id, keys: ask.keys };
            write!("lease/timetolive", "LeaseTimeToLiveRequest", ask)
        }
        Request::LeaseLeases => Some(("lease/leases", json!({}))),
        Request::MemberList(list) => {
            write!("cluster/member/list", "MemberListRequest", *list)
        }
        Request::Status => Some(("maintenance/status", json!({}))),
        Request::Defragment => Some(("maintenance/defragment", json!({}))),
        Request::HashKv(hash) => write!("maintenance/hashkv", "HashKVRequest", *hash),
        Request::Alarm(alarm) => {
            let member_id = ids.real_member(alarm.member_id);
            let alarm = pb::AlarmRequest {
                member_id,
                ..*alarm
            };
            write!("maintenance/alarm", "AlarmRequest", alarm)
        }
        _ => None,
    }
}

async fn step(gateways: &mut Gateways, forms: &mut StdRng, op: &Op) -> Result<Outcome> {
    let mut told = Vec::new();
    let mut lease = 0;
    // The same forms for both, so that a difference is one of the servers.
    let before = forms.clone();
    for side in &mut gateways.sides {
        let mut forms = before.clone();
        let Some((path, body)) = render(&mut forms, &op.request, &side.ids) else {
            bail!("no path for {}", op.describe());
        };
        let path = format!("/v3/{path}");
        let answer = side.raw(&path, &body.to_string()).await?;
        if let Request::LeaseGrant(grant) = &op.request {
            let value: Value = serde_json::from_str(&answer.body)?;
            let id = value["ID"].as_str().and_then(|id| id.parse().ok());
            lease = match (grant.id, id) {
                (0, Some(id)) => side.ids.appeared(id),
                _ => grant.id,
            };
        }
        told.push(side.told(&path, &answer));
    }
    let _: bool = rand::Rng::random(forms);
    let [reference, subject] = told.as_slice() else {
        bail!("two sides are needed")
    };
    if is_missing(subject) {
        bail!("the server under test does not know it");
    }
    same(reference, subject)?;
    let value = &reference.value;
    let revision = value["header"]["revision"].as_str();
    let code = value["code"].as_i64().unwrap_or(2);
    let message = value["message"].as_str().unwrap_or_default().to_owned();
    Ok(Outcome {
        text: value.to_string(),
        revision: revision
            .and_then(|revision| revision.parse().ok())
            .unwrap_or(0),
        error: (reference.status != 200).then(|| (Code::from(code as i32), message)),
        lease,
        ..Outcome::default()
    })
}
