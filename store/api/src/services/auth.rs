//! Auth: switching it on and off, and logging in. Users are in `auth/users.rs`, roles in
//! `auth/roles.rs`.
//!
//! Every change is an entry, and apply decides it. Passwords are hashed before one is made.

mod roles;
mod users;

use std::sync::Arc;

use bytes::Bytes;
use mainstay_apply::Outcome;
use mainstay_auth::{Caller as Identity, Error as Refused};
use mainstay_proto::entry::{self, command::Body};
use mainstay_proto::etcdserverpb::{
    AuthDisableRequest, AuthDisableResponse, AuthEnableRequest, AuthEnableResponse,
    AuthStatusRequest, AuthStatusResponse, AuthenticateRequest, AuthenticateResponse,
    ResponseHeader,
};
use mainstay_raft::ProposeError;
use tonic::Status;
use zeroize::Zeroizing;

pub use roles::{
    role_add, role_delete, role_get, role_grant_permission, role_list, role_revoke_permission,
};
pub use users::{
    user_add, user_change_password, user_delete, user_get, user_grant_role, user_list,
    user_revoke_role,
};

use super::kv::mismatch;
use crate::context::Context;
use crate::error::Error;
use crate::header;
use crate::logins::{self, Fresh, Verified};
use crate::metadata::Caller;

/// Proposes a change of users, roles or whether there are any; answers with the header.
async fn change(
    context: &Context,
    caller: &Caller,
    body: Body,
) -> Result<Option<ResponseHeader>, Status> {
    let encoded = body.encoded_len();
    match context.propose(caller, body, encoded).await? {
        Outcome::Auth { revision } => Ok(Some(header::at(&context.node, revision))),
        _ => Err(mismatch("change of users or roles")),
    }
}

pub async fn enable(
    context: Arc<Context>,
    caller: Caller,
    _: AuthEnableRequest,
) -> Result<AuthEnableResponse, Status> {
    let body = Body::AuthEnable(entry::AuthEnable {});
    let header = change(&context, &caller, body).await?;
    Ok(AuthEnableResponse { header })
}

pub async fn disable(
    context: Arc<Context>,
    caller: Caller,
    _: AuthDisableRequest,
) -> Result<AuthDisableResponse, Status> {
    let body = Body::AuthDisable(entry::AuthDisable {});
    let header = change(&context, &caller, body).await?;
    Ok(AuthDisableResponse { header })
}

/// Told to everybody, except to who shows a token that is none (etcd).
pub async fn status(
    context: Arc<Context>,
    caller: Caller,
    _: AuthStatusRequest,
) -> Result<AuthStatusResponse, Status> {
    context.read_barrier().await?;
    context.identify(&caller).await?;
    let registry = context.logins.registry();
    Ok(AuthStatusResponse {
        header: Some(context.header()),
        enabled: registry.is_enabled(),
        auth_revision: registry.revision(),
    })
}

/// Lets a user in. What credentials the request itself shows does not matter.
pub async fn authenticate(
    context: Arc<Context>,
    caller: Caller,
    mut request: AuthenticateRequest,
) -> Result<AuthenticateResponse, Status> {
    let password = logins::take(&mut request.password);
    let name = request.name;
    context.read_barrier().await?;
    loop {
        let verified = context
            .logins
            .verify(&name, &password, &caller.credentials)
            .await?;
        if let Some(signed) = context.logins.signed(&name, &verified).await {
            return Ok(AuthenticateResponse {
                header: Some(context.header()),
                token: signed?.to_string(),
            });
        }
        // Users have changed while the password was being verified: it may be another's now.
        if let Some(answer) = enter(&context, &name, verified).await? {
            return Ok(answer);
        }
    }
}

/// Tells every member of the token, by its hash. `None` if the password was verified too long ago.
async fn enter(
    context: &Context,
    name: &str,
    verified: Verified,
) -> Result<Option<AuthenticateResponse>, Status> {
    let fresh = Fresh::new()?;
    let body = Body::Authenticate(entry::Authenticate {
        name: name.to_owned(),
        token_hash: Bytes::copy_from_slice(&fresh.hash()),
        auth_revision: verified.auth_revision,
    });
    let proposed = context
        .node
        .propose_for(Identity::Nobody, body, context.deadline());
    match proposed.await {
        Ok(Outcome::Authenticated { index, revision }) => Ok(Some(AuthenticateResponse {
            header: Some(header::at(&context.node, revision)),
            token: fresh.token(index),
        })),
        Ok(_) => Err(mismatch("log-in")),
        Err(ProposeError::Apply(mainstay_apply::ApplyError::Auth(Refused::OldRevision))) => {
            Ok(None)
        }
        Err(error) => Err(Error::from(error).into()),
    }
}

/// The form in which a password goes into an entry.
async fn hashed(context: &Context, password: Zeroizing<String>) -> Result<Bytes, Error> {
    context.logins.hash(password).await
}
