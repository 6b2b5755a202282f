//! Commands about users, roles and who logs in.

use mainstay_proto::entry::command::Body;

use crate::{Outcome, context::Context, error::Failure};

/// `None` for a command about something else.
pub(crate) fn apply(
    context: &mut Context<'_, '_, '_>,
    body: &Body,
) -> Option<Result<Outcome, Failure>> {
    let auth = &mut *context.auth;
    let batch = &mut *context.batch;
    let done = match body {
        Body::Authenticate(request) => {
            let index = context.index;
            let revision = batch.revision();
            let outcome = Outcome::Authenticated { index, revision };
            return Some(finish(auth.authenticate(request), outcome));
        }
        Body::AuthEnable(_) => auth.enable(batch),
        Body::AuthDisable(_) => {
            auth.disable(batch);
            Ok(())
        }
        Body::UserAdd(request) => auth.add_user(batch, request),
        Body::UserChangePassword(request) => auth.change_password(batch, request),
        Body::UserDelete(request) => auth.delete_user(batch, &request.name),
        Body::UserGrantRole(request) => auth.grant_role(batch, request),
        Body::UserRevokeRole(request) => auth.revoke_role(batch, request),
        Body::RoleAdd(request) => auth.add_role(batch, &request.name),
        Body::RoleDelete(request) => auth.delete_role(batch, &request.role),
        Body::RoleGrantPermission(request) => auth.grant_permission(batch, request),
        Body::RoleRevokePermission(request) => auth.revoke_permission(batch, request),
        Body::Put(_)
        | Body::DeleteRange(_)
        | Body::Txn(_)
        | Body::Compact(_)
        | Body::LeaseGrant(_)
        | Body::LeaseRevoke(_)
        | Body::Alarm(_)
        | Body::Publish(_)
        | Body::ClusterVersion(_)
        | Body::Downgrade(_) => return None,
    };
    let revision = batch.revision();
    Some(finish(done, Outcome::Auth { revision }))
}

fn finish(done: Result<(), mainstay_auth::Error>, outcome: Outcome) -> Result<Outcome, Failure> {
    done.map(|()| outcome).map_err(Failure::from)
}
