//! Maintenance: Alarm, Status, Defragment, Hash, HashKV, MoveLeader.

use std::sync::Arc;

use mainstay_apply::Outcome;
use mainstay_proto::entry::command::Body;
use mainstay_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse,
    HashKvRequest, HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest,
    MoveLeaderResponse, StatusRequest, StatusResponse, alarm_request::AlarmAction,
};
use prost::Message;
use tonic::Status;

use super::{downgrade, kv::mismatch};
use crate::context::{Context, SERVER_VERSION};
use crate::error::Error;
use crate::header;
use crate::metadata::Caller;

/// Lists, raises or clears alarms; even listing goes through consensus (etcd).
pub async fn alarm(
    context: Arc<Context>,
    caller: Caller,
    request: AlarmRequest,
) -> Result<AlarmResponse, Status> {
    let _ = context.permit(&caller, |gate| gate.alarm(&request)).await?;
    if !AlarmAction::is_valid(request.action) {
        return Err(Error::UnknownAlarmAction.into());
    }
    let encoded = request.encoded_len();
    match context
        .propose(&caller, Body::Alarm(request), encoded)
        .await?
    {
        Outcome::Alarm { alarms, revision } => Ok(AlarmResponse {
            header: Some(header::at(&context.node, revision)),
            alarms,
        }),
        _ => Err(mismatch("alarm")),
    }
}

/// What this member knows of itself; asks nobody.
pub async fn status(context: Arc<Context>, _: StatusRequest) -> Result<StatusResponse, Status> {
    let node = context.node.status();
    let size = context.store().size();
    let mut errors = Vec::new();
    if node.leader.is_none() {
        errors.push(Error::NoLeader.text().to_owned());
    }
    errors.extend(context.view.alarms().iter().map(alarm_text));
    Ok(StatusResponse {
        header: Some(context.header()),
        version: SERVER_VERSION.to_owned(),
        db_size: size.files_bytes,
        leader: node.leader.unwrap_or(0),
        raft_index: context.node.metrics().committed_index,
        raft_term: node.term,
        raft_applied_index: node.applied_index,
        errors,
        // An empty store still holds what it knows of itself; tools divide by this.
        db_size_in_use: size.logical_bytes.max(1),
        is_learner: node.learner,
        storage_version: context.storage_version(),
        db_size_quota: context.quota_bytes,
        downgrade_info: Some(downgrade::info(&context)),
    })
}

/// The text form of an alarm, as `etcdctl endpoint status` shows it: fields that are zero are left
/// out, as in any protobuf text.
fn alarm_text(alarm: &AlarmMember) -> String {
    let member = (alarm.member_id != 0).then(|| format!("memberID:{}", alarm.member_id));
    let kind = (alarm.alarm != 0).then(|| format!("alarm:{}", alarm_name(alarm.alarm)));
    member.into_iter().chain(kind).collect::<Vec<_>>().join(" ")
}

/// The name of an alarm; numbers that have none stand for themselves.
pub fn alarm_name(alarm: i32) -> String {
    AlarmType::try_from(alarm).map_or_else(
        |_| alarm.to_string(),
        |known| known.as_str_name().to_owned(),
    )
}

/// There is nothing to defragment: space comes back by itself. Answers without a header (etcd).
pub async fn defragment(
    _: Arc<Context>,
    _: DefragmentRequest,
) -> Result<DefragmentResponse, Status> {
    Ok(DefragmentResponse { header: None })
}

/// A checksum of this member's whole store; says nothing about other members.
pub async fn hash(context: Arc<Context>, _: HashRequest) -> Result<HashResponse, Status> {
    let hash = context
        .scan(|store| Ok(store.hash().map_err(Error::from)?))
        .await?;
    Ok(HashResponse {
        header: Some(context.header()),
        hash,
    })
}

/// A checksum of the keys up to a revision, equal on all members.
pub async fn hash_kv(
    context: Arc<Context>,
    request: HashKvRequest,
) -> Result<HashKvResponse, Status> {
    let (found, revision) = context
        .scan(move |store| {
            let found = store.hash_kv(request.revision).map_err(Error::from)?;
            Ok((found, store.revision()))
        })
        .await?;
    Ok(HashKvResponse {
        header: Some(header::at(&context.node, revision)),
        hash: found.hash,
        compact_revision: found.compact_revision,
        hash_revision: found.hash_revision,
    })
}

/// Hands leadership to another voter; only the leader does. Answers without a header (etcd).
pub async fn move_leader(
    context: Arc<Context>,
    request: MoveLeaderRequest,
) -> Result<MoveLeaderResponse, Status> {
    let own = context.node.member_id();
    if context.node.leader() != Some(own) {
        return Err(Error::NotLeader.into());
    }
    if request.target_id != own {
        context
            .node
            .move_leader(request.target_id)
            .await
            .map_err(Error::from)?;
    }
    Ok(MoveLeaderResponse { header: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_read_as_in_etcd() {
        let alarm = AlarmMember {
            member_id: 12,
            alarm: 1,
        };
        assert_eq!(alarm_text(&alarm), "memberID:12 alarm:NOSPACE");
        let of_nobody = AlarmMember {
            member_id: 0,
            alarm: 2,
        };
        assert_eq!(alarm_text(&of_nobody), "alarm:CORRUPT");
        assert_eq!(alarm_name(7), "7");
    }
}
