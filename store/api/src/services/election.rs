//! Election: the contender that came first leads, and its key's value is what it proclaims.

mod observe;

use std::sync::Arc;

use mainstay_proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};
use tonic::Status;

pub use observe::observe;

use super::contest::{self, Contender, Session, unknown};
use crate::context::Context;
use crate::error::Error;
use crate::metadata::Caller;

/// Waits for leadership. A caller that goes away while it waits leaves nothing behind.
pub async fn campaign(
    context: Arc<Context>,
    caller: Caller,
    request: CampaignRequest,
) -> Result<CampaignResponse, Status> {
    win(&context, &caller, request).await.map_err(unknown)
}

async fn win(
    context: &Arc<Context>,
    caller: &Caller,
    request: CampaignRequest,
) -> Result<CampaignResponse, Status> {
    let session = Session::open(context, caller, request.lease).await?;
    let value = request.value.clone();
    let (contender, entry) =
        Contender::enter(context, caller, &request.name, session, value).await?;
    let (key, rev, lease) = (contender.key.clone(), contender.revision, session.lease);
    // Who campaigns again replaces what it has said before.
    if entry
        .held
        .as_ref()
        .is_some_and(|held| held.value != request.value)
    {
        proclaimed(context, caller, &key, rev, request.value, lease).await?;
    }
    let header = contender.win(&entry).await?;
    contender.keep();
    Ok(CampaignResponse {
        header,
        leader: Some(LeaderKey {
            name: request.name,
            key,
            rev,
            lease,
        }),
    })
}

/// Changes the value of the leader.
pub async fn proclaim(
    context: Arc<Context>,
    caller: Caller,
    request: ProclaimRequest,
) -> Result<ProclaimResponse, Status> {
    let leader = request.leader.ok_or(Error::LeaderNotGiven)?;
    let proclaim = async {
        let session = Session::open(&context, &caller, leader.lease).await?;
        proclaimed(
            &context,
            &caller,
            &leader.key,
            leader.rev,
            request.value,
            session.lease,
        )
        .await
    };
    proclaim.await.map_err(unknown)
}

async fn proclaimed(
    context: &Arc<Context>,
    caller: &Caller,
    key: &bytes::Bytes,
    revision: i64,
    value: bytes::Bytes,
    lease: i64,
) -> Result<ProclaimResponse, Status> {
    let response =
        contest::replace(context.clone(), caller.clone(), key, revision, value, lease).await?;
    if !response.succeeded {
        return Err(Error::ElectionNotLeader.into());
    }
    let header = response.header;
    Ok(ProclaimResponse { header })
}

/// Who leads now, and what it has proclaimed.
pub async fn leader(
    context: Arc<Context>,
    caller: Caller,
    request: LeaderRequest,
) -> Result<LeaderResponse, Status> {
    let first = contest::first(&contest::prefix(&request.name));
    let (header, found) = contest::read(&context, &caller, first)
        .await
        .map_err(unknown)?;
    let kv = found.into_iter().next().ok_or(Error::ElectionNoLeader)?;
    Ok(LeaderResponse {
        header,
        kv: Some(kv),
    })
}

/// Gives leadership up; without effect for somebody who does not lead any more.
pub async fn resign(
    context: Arc<Context>,
    caller: Caller,
    request: ResignRequest,
) -> Result<ResignResponse, Status> {
    let leader = request.leader.ok_or(Error::LeaderNotGiven)?;
    let resigned = contest::resign(context, caller, &leader.key, leader.rev).await;
    let header = resigned.map_err(unknown)?.header;
    Ok(ResignResponse { header })
}
