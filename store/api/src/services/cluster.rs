//! Cluster: who the members are, and changing them.

use std::sync::Arc;
use std::time::SystemTime;

use mainstay_proto::etcdserverpb::{
    self as pb, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse, ResponseHeader,
};
use mainstay_raft::{Change, Member, added_id};
use tonic::Status;

use crate::check;
use crate::context::Context;
use crate::error::Error;
use crate::header;

/// Lists the members by id. The header's revision is 0, as in every answer of this service.
pub async fn member_list(
    context: Arc<Context>,
    request: MemberListRequest,
) -> Result<MemberListResponse, Status> {
    if request.linearizable {
        context.read_barrier().await?;
    }
    Ok(MemberListResponse {
        header: header(&context),
        members: members(&context),
    })
}

/// Adds a voter or a learner. Its id follows from its URLs and the time, as in etcd.
pub async fn member_add(
    context: Arc<Context>,
    request: MemberAddRequest,
) -> Result<MemberAddResponse, Status> {
    let mut peer_urls = check::peer_urls(&request.peer_ur_ls)?;
    peer_urls.sort();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let id = added_id(&peer_urls, now.map_or(0, |now| now.as_secs()));
    let learner = request.is_learner;
    let change = Change::Add {
        id,
        peer_urls: peer_urls.clone(),
        learner,
    };
    make(&context, change).await?;
    Ok(MemberAddResponse {
        header: header(&context),
        member: Some(pb::Member {
            id,
            peer_ur_ls: peer_urls,
            is_learner: learner,
            ..pb::Member::default()
        }),
        members: members(&context),
    })
}

/// Removes a member for good: its id never comes back.
pub async fn member_remove(
    context: Arc<Context>,
    request: MemberRemoveRequest,
) -> Result<MemberRemoveResponse, Status> {
    make(&context, Change::Remove { id: request.id }).await?;
    let mut members = members(&context);
    // Asked to remove itself, this member may hear of it without having applied it.
    members.retain(|member| member.id != request.id);
    Ok(MemberRemoveResponse {
        header: header(&context),
        members,
    })
}

/// Gives a member other peer URLs.
pub async fn member_update(
    context: Arc<Context>,
    request: MemberUpdateRequest,
) -> Result<MemberUpdateResponse, Status> {
    let change = Change::Update {
        id: request.id,
        peer_urls: check::peer_urls(&request.peer_ur_ls)?,
    };
    make(&context, change).await?;
    Ok(MemberUpdateResponse {
        header: header(&context),
        members: members(&context),
    })
}

/// Makes a voter of a learner that has nine tenths of the leader's log.
pub async fn member_promote(
    context: Arc<Context>,
    request: MemberPromoteRequest,
) -> Result<MemberPromoteResponse, Status> {
    let made = make(&context, Change::Promote { id: request.id }).await;
    context.observed.promotions.count(made.err());
    made?;
    Ok(MemberPromoteResponse {
        header: header(&context),
        members: members(&context),
    })
}

async fn make(context: &Context, change: Change) -> Result<(), Error> {
    let made = context.node.change(change, context.deadline()).await;
    made.map_err(Error::from)
}

fn header(context: &Context) -> Option<ResponseHeader> {
    Some(header::at(&context.node, 0))
}

fn members(context: &Context) -> Vec<pb::Member> {
    let members = context.node.members().into_iter();
    members.map(listed).collect()
}

fn listed(member: Member) -> pb::Member {
    pb::Member {
        id: member.id,
        name: member.name,
        peer_ur_ls: member.peer_urls,
        client_ur_ls: member.client_urls,
        is_learner: member.learner,
    }
}
