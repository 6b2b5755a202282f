//! Lease: granting and revoking go through consensus; renewing and asking go to the leader, who
//! alone counts time.

use std::sync::Arc;

use bytes::Bytes;
use mainstay_apply::{Gate, Outcome};
use mainstay_auth::Access;
use mainstay_proto::entry::{LeaseRevoke, command::Body};
use mainstay_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use prost::Message;
use tonic::Status;

use super::{kv::mismatch, leader};
use crate::context::{Context, Permit};
use crate::dispatch::Incoming;
use crate::error::Error;
use crate::grpc::{MessageStream, Messages};
use crate::metadata::Caller;
use crate::{header, spans};

/// Grants a lease; id 0 lets this member choose one.
pub async fn grant(
    context: Arc<Context>,
    caller: Caller,
    mut request: LeaseGrantRequest,
) -> Result<LeaseGrantResponse, Status> {
    if request.id == 0 {
        request.id = random_id();
    }
    let caller = caller.within("lease_grant", || spans::lease_grant(&request));
    request.ttl = context.leases.raised_ttl(request.ttl);
    let encoded = request.encoded_len();
    match context
        .propose(&caller, Body::LeaseGrant(request), encoded)
        .await?
    {
        Outcome::LeaseGrant(mut response) => {
            response.header = Some(context.header());
            Ok(response)
        }
        _ => Err(mismatch("lease grant")),
    }
}

/// A positive id; the entry carries it, so all members agree.
fn random_id() -> i64 {
    loop {
        let id = rand::random::<i64>() & i64::MAX;
        if id != 0 {
            return id;
        }
    }
}

/// Revokes a lease and deletes its keys.
pub async fn revoke(
    context: Arc<Context>,
    caller: Caller,
    request: LeaseRevokeRequest,
) -> Result<LeaseRevokeResponse, Status> {
    let caller = caller.within("lease_revoke", || spans::lease(request.id));
    let encoded = request.encoded_len();
    let revoke = LeaseRevoke {
        id: request.id,
        expired_in_term: 0,
    };
    match context
        .propose(&caller, Body::LeaseRevoke(revoke), encoded)
        .await?
    {
        Outcome::LeaseRevoke { revision } => Ok(LeaseRevokeResponse {
            header: Some(header::at(&context.node, revision)),
        }),
        _ => Err(mismatch("lease revoke")),
    }
}

/// Renews leases, one answer for each request, until the client closes its side.
pub async fn keep_alive<B: Incoming>(
    context: Arc<Context>,
    mut messages: Messages<B>,
    caller: Caller,
) -> Result<MessageStream, Status> {
    let (shared, asking) = (context.clone(), caller.clone());
    let answers = async_stream::try_stream! {
        while let Some(request) = messages.next::<LeaseKeepAliveRequest>().await? {
            let answer = renew(&shared, &asking, request.id).await?;
            yield Bytes::from(answer.encode_to_vec());
        }
    };
    Ok(leader::guard(context, caller, Box::pin(answers)))
}

async fn renew(
    context: &Context,
    caller: &Caller,
    id: i64,
) -> Result<LeaseKeepAliveResponse, Status> {
    let permit = permit_keys(context, caller, Access::Write, vec![id]).await?;
    context.still(permit)?;
    // The revision is taken first: by the time the lease is renewed its keys may have changed,
    // and a client that resumes from here must not miss that (etcd).
    let header = context.header();
    let _span = caller.begin("lease_renew", || spans::lease(id));
    let ttl = context
        .node
        .lease_renew(id, context.deadline())
        .await
        .map_err(Error::from)?;
    Ok(LeaseKeepAliveResponse {
        header: Some(header),
        id,
        ttl,
    })
}

/// How long a lease has left; -1 for one that does not exist.
pub async fn time_to_live(
    context: Arc<Context>,
    caller: Caller,
    request: LeaseTimeToLiveRequest,
) -> Result<LeaseTimeToLiveResponse, Status> {
    let _ = context.permit(&caller, |gate| gate.known()).await?;
    let deadline = context.deadline();
    let (ttl, granted_ttl) = context
        .node
        .lease_ttl(request.id, deadline)
        .await
        .map_err(Error::from)?;
    let mut response = LeaseTimeToLiveResponse {
        id: request.id,
        ttl,
        granted_ttl,
        ..Default::default()
    };
    if request.keys && ttl >= 0 {
        context.read_barrier().await?;
        let permit = permit_keys(&context, &caller, Access::Read, vec![request.id]).await?;
        // Waits for a batch that is being applied, and may list any number of keys.
        let leases = context.leases.clone();
        let keys = context.scan(move |_| Ok(leases.keys(request.id)));
        let keys = keys.await?.unwrap_or_default();
        // A key attached since then would be told without having been asked about.
        permit_list(&context, &caller, &keys).await?;
        context.still(permit)?;
        response.keys = keys;
    }
    response.header = Some(context.header());
    Ok(response)
}

/// Lists the leases, the one that ends first in front.
pub async fn leases(
    context: Arc<Context>,
    caller: Caller,
    _: LeaseLeasesRequest,
) -> Result<LeaseLeasesResponse, Status> {
    let ids = context
        .node
        .lease_list(context.deadline())
        .await
        .map_err(Error::from)?;
    let permit = permit_keys(&context, &caller, Access::Read, ids.clone()).await?;
    context.still(permit)?;
    Ok(LeaseLeasesResponse {
        header: Some(context.header()),
        leases: ids.into_iter().map(|id| LeaseStatus { id }).collect(),
    })
}

/// Asks about every key that hangs on the leases. That waits for a batch that is being applied, so
/// it is done on the pool, and not at all for root.
async fn permit_keys(
    context: &Context,
    caller: &Caller,
    access: Access,
    ids: Vec<i64>,
) -> Result<Permit, Status> {
    let permit = context.permit(caller, |gate| gate.known()).await?;
    if !context.logins.registry().is_enabled() {
        return Ok(permit);
    }
    let identity = context.identify(caller).await?;
    let registry = context.logins.registry();
    if registry.permits_root(&identity).is_ok() {
        return Ok(permit);
    }
    let leases = context.leases.clone();
    let judged = context.scan(move |_| {
        let gate = Gate {
            registry: &registry,
            caller: &identity,
            leases: &leases,
        };
        let each = ids.iter().try_for_each(|id| gate.lease(*id, access));
        Ok(each.map_err(Error::from)?)
    });
    judged.await?;
    Ok(permit)
}

/// Asks about the very keys of an answer.
async fn permit_list(context: &Context, caller: &Caller, keys: &[Bytes]) -> Result<(), Status> {
    let judge = |gate: &Gate<'_>| {
        if gate.root().is_ok() {
            return Ok(());
        }
        let mut keys = keys.iter();
        keys.try_for_each(|key| gate.keys(Access::Read, key, b""))
    };
    let _ = context.permit(caller, judge).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_positive() {
        assert!((0..1000).all(|_| random_id() > 0));
    }
}
