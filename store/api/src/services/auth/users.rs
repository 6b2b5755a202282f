//! Users and their roles.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mainstay_proto::entry::{UserAdd, UserChangePassword, command::Body};
use mainstay_proto::etcdserverpb::{
    AuthUserAddRequest, AuthUserAddResponse, AuthUserChangePasswordRequest,
    AuthUserChangePasswordResponse, AuthUserDeleteRequest, AuthUserDeleteResponse,
    AuthUserGetRequest, AuthUserGetResponse, AuthUserGrantRoleRequest, AuthUserGrantRoleResponse,
    AuthUserListRequest, AuthUserListResponse, AuthUserRevokeRoleRequest,
    AuthUserRevokeRoleResponse,
};
use tonic::Status;

use super::{change, hashed};
use crate::context::Context;
use crate::error::Error;
use crate::logins;
use crate::metadata::Caller;

/// An empty password is one too, unless the user is to have none.
pub async fn user_add(
    context: Arc<Context>,
    caller: Caller,
    mut request: AuthUserAddRequest,
) -> Result<AuthUserAddResponse, Status> {
    let password = logins::take(&mut request.password);
    let no_password = request.options.is_some_and(|options| options.no_password);
    let password_hash = match no_password {
        true => Bytes::new(),
        false => hashed(&context, password).await?,
    };
    let body = Body::UserAdd(UserAdd {
        name: request.name,
        password_hash,
        options: request.options,
    });
    let header = change(&context, &caller, body).await?;
    Ok(AuthUserAddResponse { header })
}

/// Without a password the hash given counts, which no client but a tool sends; without either
/// nobody logs in as this user any more (etcd).
pub async fn user_change_password(
    context: Arc<Context>,
    caller: Caller,
    mut request: AuthUserChangePasswordRequest,
) -> Result<AuthUserChangePasswordResponse, Status> {
    let password = logins::take(&mut request.password);
    let password_hash = match password.is_empty() {
        true => {
            let given = STANDARD.decode(&request.hashed_password);
            given.map_err(|_| Error::NoPasswordUser)?.into()
        }
        false => hashed(&context, password).await?,
    };
    let body = Body::UserChangePassword(UserChangePassword {
        name: request.name,
        password_hash,
    });
    let header = change(&context, &caller, body).await?;
    Ok(AuthUserChangePasswordResponse { header })
}

pub async fn user_delete(
    context: Arc<Context>,
    caller: Caller,
    request: AuthUserDeleteRequest,
) -> Result<AuthUserDeleteResponse, Status> {
    let header = change(&context, &caller, Body::UserDelete(request)).await?;
    Ok(AuthUserDeleteResponse { header })
}

pub async fn user_grant_role(
    context: Arc<Context>,
    caller: Caller,
    request: AuthUserGrantRoleRequest,
) -> Result<AuthUserGrantRoleResponse, Status> {
    let header = change(&context, &caller, Body::UserGrantRole(request)).await?;
    Ok(AuthUserGrantRoleResponse { header })
}

pub async fn user_revoke_role(
    context: Arc<Context>,
    caller: Caller,
    request: AuthUserRevokeRoleRequest,
) -> Result<AuthUserRevokeRoleResponse, Status> {
    let header = change(&context, &caller, Body::UserRevokeRole(request)).await?;
    Ok(AuthUserRevokeRoleResponse { header })
}

/// Root may ask about everybody, others about themselves.
pub async fn user_get(
    context: Arc<Context>,
    caller: Caller,
    request: AuthUserGetRequest,
) -> Result<AuthUserGetResponse, Status> {
    context.read_barrier().await?;
    let permit = context
        .permit(&caller, |gate| {
            gate.root().or_else(|refused| {
                let own = gate.registry.is_self(gate.caller, &request.name);
                own.then_some(()).ok_or(refused)
            })
        })
        .await?;
    let registry = context.logins.registry();
    let user = registry.user(&request.name).ok_or(Error::UserNotFound)?;
    context.still(permit)?;
    Ok(AuthUserGetResponse {
        header: Some(context.header()),
        roles: user.roles().to_vec(),
    })
}

pub async fn user_list(
    context: Arc<Context>,
    caller: Caller,
    _: AuthUserListRequest,
) -> Result<AuthUserListResponse, Status> {
    context.read_barrier().await?;
    let _ = context.permit(&caller, |gate| gate.root()).await?;
    Ok(AuthUserListResponse {
        header: Some(context.header()),
        users: context.logins.registry().user_names(),
    })
}
