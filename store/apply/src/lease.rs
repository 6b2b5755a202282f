//! Grants and revokes of leases.

use mainstay_proto::{
    entry::LeaseRevoke,
    etcdserverpb::{LeaseGrantRequest, LeaseGrantResponse},
};

use crate::{
    Outcome,
    context::{Context, header},
    error::Failure,
};

pub(crate) fn grant(
    context: &mut Context<'_, '_, '_>,
    request: &LeaseGrantRequest,
) -> Result<Outcome, Failure> {
    let ttl = context
        .leases
        .grant(context.batch, request.id, request.ttl)?;
    let (id, error) = (request.id, String::new());
    let header = header(context.batch.revision());
    Ok(Outcome::LeaseGrant(LeaseGrantResponse {
        header,
        id,
        ttl,
        error,
    }))
}

/// A revoke because of expiry counts only in the term of the leader that saw the lease expire: a
/// deposed leader does not know who has been renewed since.
pub(crate) fn revoke(
    context: &mut Context<'_, '_, '_>,
    request: &LeaseRevoke,
) -> Result<Outcome, Failure> {
    if request.expired_in_term != 0 && request.expired_in_term != context.term {
        return Ok(Outcome::Done);
    }
    let revision = context.leases.revoke(context.batch, request.id)?;
    Ok(Outcome::LeaseRevoke { revision })
}
