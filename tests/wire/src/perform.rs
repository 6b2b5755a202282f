use std::time::Duration;

use futures::StreamExt;
use mainstay_proto::etcdserverpb as pb;
use tonic::metadata::MetadataValue;
use tonic::{Response, Status};

use crate::normalise::{Ids, Normalise, txn_outbound};
use crate::outcome::Outcome;
use crate::request::{Metadata, Op, Request};
use crate::target::Target;
use crate::{raw, ties};

/// How long a request may take before the suite calls it unanswered.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Sends a request that is no watch request and normalises what comes back.
pub async fn perform(target: &Target, op: &Op) -> Outcome {
    // One request at a time is sent to a target, so nobody else adds an id meanwhile.
    let mut ids = target.ids.lock().clone();
    let answer = tokio::time::timeout(ANSWER_WAIT, send(target, op, &mut ids)).await;
    *target.ids.lock() = ids;
    match answer {
        Ok(outcome) => outcome,
        Err(_) => Outcome::plain(format!("no answer within {ANSWER_WAIT:?}")),
    }
}

async fn send(target: &Target, op: &Op, ids: &mut Ids) -> Outcome {
    let mut to = target.at(op.member).clone();
    let with = op.metadata;
    match &op.request {
        Request::Range(range) => {
            let mut answer = to.kv.range(wrap(range.clone(), with)).await;
            if let Ok(answer) = &mut answer {
                ties::settle_range(range, answer.get_mut());
            }
            finish(answer, ids)
        }
        Request::RangeStream(range) => {
            range_stream(to.kv.range_stream(wrap(range.clone(), with)).await, ids).await
        }
        Request::Put(put) => {
            let mut put = put.clone();
            put.lease = ids.real_lease(put.lease);
            finish(to.kv.put(wrap(put, with)).await, ids)
        }
        Request::DeleteRange(delete) => {
            finish(to.kv.delete_range(wrap(delete.clone(), with)).await, ids)
        }
        Request::Txn(asked) => {
            let mut txn = asked.clone();
            txn_outbound(&mut txn, ids);
            let mut answer = to.kv.txn(wrap(txn, with)).await;
            if let Ok(answer) = &mut answer {
                ties::settle_txn(asked, answer.get_mut());
            }
            finish(answer, ids)
        }
        Request::Compact(compact) => finish(to.kv.compact(wrap(*compact, with)).await, ids),
        Request::MemberList(list) => finish(to.cluster.member_list(wrap(*list, with)).await, ids),
        Request::MemberAdd(_)
        | Request::MemberRemove(_)
        | Request::MemberUpdate(_)
        | Request::MemberPromote(_) => cluster(&mut to.cluster, ids, op).await,
        Request::Raw { path, body } => match raw::call(to.channel, path, body.clone()).await {
            // Other answers hold ids, which bytes cannot be freed of.
            Ok(answer) if path.starts_with("/grpc.health") => {
                Outcome::plain(format!("{:?}", answer.into_inner()))
            }
            Ok(_) => Outcome::plain("answered"),
            Err(status) => Outcome::status(&status, ids),
        },
        Request::WatchCreate { .. }
        | Request::WatchCancel { .. }
        | Request::WatchProgress { .. }
        | Request::WatchUnset { .. } => Outcome::plain("a watch request needs a stream"),
        Request::LeaseGrant(_)
        | Request::LeaseRevoke(_)
        | Request::LeaseKeepAlive(_)
        | Request::LeaseTimeToLive(_)
        | Request::LeaseLeases => lease(&mut to.lease, ids, op).await,
        _ => maintenance(&mut to.maintenance, ids, op).await,
    }
}

/// Changes of the members. One that is added has its place among the ids from then on.
async fn cluster(
    to: &mut pb::cluster_client::ClusterClient<tonic::transport::Channel>,
    ids: &mut Ids,
    op: &Op,
) -> Outcome {
    let with = op.metadata;
    match &op.request {
        Request::MemberAdd(add) => {
            let add = pb::MemberAddRequest {
                peer_ur_ls: ids.real_urls(&add.peer_ur_ls),
                is_learner: add.is_learner,
            };
            let answer = to.member_add(wrap(add, with)).await;
            if let Ok(answer) = &answer
                && let Some(member) = &answer.get_ref().member
            {
                ids.joined(member.id);
            }
            finish(answer, ids)
        }
        Request::MemberRemove(remove) => {
            let id = ids.real_member(remove.id);
            let remove = pb::MemberRemoveRequest { id };
            finish(to.member_remove(wrap(remove, with)).await, ids)
        }
        Request::MemberUpdate(update) => {
            let update = pb::MemberUpdateRequest {
                id: ids.real_member(update.id),
                peer_ur_ls: ids.real_urls(&update.peer_ur_ls),
            };
            finish(to.member_update(wrap(update, with)).await, ids)
        }
        Request::MemberPromote(promote) => {
            let id = ids.real_member(promote.id);
            let promote = pb::MemberPromoteRequest { id };
            finish(to.member_promote(wrap(promote, with)).await, ids)
        }
        _ => Outcome::plain("no change of the members"),
    }
}

async fn lease(
    to: &mut pb::lease_client::LeaseClient<tonic::transport::Channel>,
    ids: &mut Ids,
    op: &Op,
) -> Outcome {
    let with = op.metadata;
    match &op.request {
        Request::LeaseGrant(grant) => {
            let answer = to.lease_grant(wrap(*grant, with)).await;
            let mut lease = grant.id;
            if let (0, Ok(answer)) = (grant.id, &answer) {
                lease = ids.appeared(answer.get_ref().id);
            }
            Outcome {
                lease,
                ..finish(answer, ids)
            }
        }
        Request::LeaseRevoke(revoke) => {
            let id = ids.real_lease(revoke.id);
            finish(
                to.lease_revoke(wrap(pb::LeaseRevokeRequest { id }, with))
                    .await,
                ids,
            )
        }
        Request::LeaseTimeToLive(ask) => {
            let id = ids.real_lease(ask.id);
            let ask = pb::LeaseTimeToLiveRequest { id, keys: ask.keys };
            finish(to.lease_time_to_live(wrap(ask, with)).await, ids)
        }
        Request::LeaseKeepAlive(beats) => {
            let beats: Vec<_> = beats
                .iter()
                .map(|beat| pb::LeaseKeepAliveRequest {
                    id: ids.real_lease(beat.id),
                })
                .collect();
            let stream = wrap(futures::stream::iter(beats), with);
            collect(to.lease_keep_alive(stream).await, ids).await
        }
        _ => finish(
            to.lease_leases(wrap(pb::LeaseLeasesRequest {}, with)).await,
            ids,
        ),
    }
}

async fn maintenance(
    to: &mut pb::maintenance_client::MaintenanceClient<tonic::transport::Channel>,
    ids: &mut Ids,
    op: &Op,
) -> Outcome {
    let with = op.metadata;
    match &op.request {
        Request::Alarm(alarm) => {
            let mut alarm = *alarm;
            alarm.member_id = ids.real_member(alarm.member_id);
            finish(to.alarm(wrap(alarm, with)).await, ids)
        }
        Request::Defragment => finish(
            to.defragment(wrap(pb::DefragmentRequest {}, with)).await,
            ids,
        ),
        Request::Hash => finish(to.hash(wrap(pb::HashRequest {}, with)).await, ids),
        Request::HashKv(hash) => finish(to.hash_kv(wrap(*hash, with)).await, ids),
        Request::MoveLeader(to_member) => {
            let target_id = ids.real_member(to_member.target_id);
            let request = pb::MoveLeaderRequest { target_id };
            finish(to.move_leader(wrap(request, with)).await, ids)
        }
        Request::Downgrade(job) => finish(to.downgrade(wrap(job.clone(), with)).await, ids),
        _ => finish(to.status(wrap(pb::StatusRequest {}, with)).await, ids),
    }
}

pub fn wrap<T>(message: T, metadata: Metadata) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let map = request.metadata_mut();
    match metadata {
        Metadata::None => {}
        Metadata::HasLeader => {
            map.insert("hasleader", MetadataValue::from_static("true"));
        }
        Metadata::ApiVersion => {
            map.insert("client-api-version", MetadataValue::from_static("3.7"));
        }
        Metadata::BadApiVersion => {
            if let Ok(bytes) = MetadataValue::try_from(&b"3.\xff\xfe"[..]) {
                map.insert("client-api-version", bytes);
            }
        }
    }
    request
}

fn finish<T: Normalise>(answer: Result<Response<T>, Status>, ids: &mut Ids) -> Outcome {
    match answer {
        Ok(response) => Outcome::response(response.into_inner(), ids),
        Err(status) => Outcome::status(&status, ids),
    }
}

type Stream<T> = Result<Response<tonic::Streaming<T>>, Status>;

/// All messages of a stream in order, then how it ended.
async fn collect<T: Normalise>(answer: Stream<T>, ids: &mut Ids) -> Outcome {
    let mut stream = match answer {
        Ok(stream) => stream.into_inner(),
        Err(status) => return Outcome::status(&status, ids),
    };
    let mut all = Outcome::default();
    while let Some(next) = stream.next().await {
        match next {
            Ok(message) => {
                let one = Outcome::response(message, ids);
                all.text.push_str(&one.text);
                all.text.push('\n');
                all.clocks.extend(one.clocks);
                all.revision = one.revision;
            }
            Err(status) => {
                let end = Outcome::status(&status, ids);
                all.text.push_str(&end.text);
                all.error = end.error;
                return all;
            }
        }
    }
    all.text.push_str("end");
    all
}

/// The messages joined as a client joins them. How many keys travel in one message is the server's
/// choice; that only the last one carries header, count and `more` is not.
async fn range_stream(answer: Stream<pb::RangeStreamResponse>, ids: &mut Ids) -> Outcome {
    let mut stream = match answer {
        Ok(stream) => stream.into_inner(),
        Err(status) => return Outcome::status(&status, ids),
    };
    let mut whole = pb::RangeResponse::default();
    let mut broken = String::new();
    while let Some(next) = stream.next().await {
        let part = match next {
            Ok(part) => part.range_response.unwrap_or_default(),
            Err(status) => return Outcome::status(&status, ids),
        };
        if whole.header.is_some() {
            broken.push_str(" [a message after the one with the header]");
        }
        if part.header.is_none() && (part.more || part.count != 0 || part.kvs.is_empty()) {
            broken.push_str(" [count, more or nothing in a message without header]");
        }
        whole.kvs.extend(part.kvs);
        whole.header = part.header;
        whole.more = part.more;
        whole.count = part.count;
    }
    let mut outcome = Outcome::response(whole, ids);
    outcome.text.push_str(&broken);
    outcome
}
