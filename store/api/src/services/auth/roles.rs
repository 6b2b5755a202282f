//! Roles and their permissions.

use std::sync::Arc;

use mainstay_proto::entry::command::Body;
use mainstay_proto::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleAddResponse, AuthRoleDeleteRequest, AuthRoleDeleteResponse,
    AuthRoleGetRequest, AuthRoleGetResponse, AuthRoleGrantPermissionRequest,
    AuthRoleGrantPermissionResponse, AuthRoleListRequest, AuthRoleListResponse,
    AuthRoleRevokePermissionRequest, AuthRoleRevokePermissionResponse,
};
use tonic::Status;

use super::change;
use crate::context::Context;
use crate::error::Error;
use crate::metadata::Caller;

pub async fn role_add(
    context: Arc<Context>,
    caller: Caller,
    request: AuthRoleAddRequest,
) -> Result<AuthRoleAddResponse, Status> {
    let header = change(&context, &caller, Body::RoleAdd(request)).await?;
    Ok(AuthRoleAddResponse { header })
}

pub async fn role_delete(
    context: Arc<Context>,
    caller: Caller,
    request: AuthRoleDeleteRequest,
) -> Result<AuthRoleDeleteResponse, Status> {
    let header = change(&context, &caller, Body::RoleDelete(request)).await?;
    Ok(AuthRoleDeleteResponse { header })
}

pub async fn role_grant_permission(
    context: Arc<Context>,
    caller: Caller,
    request: AuthRoleGrantPermissionRequest,
) -> Result<AuthRoleGrantPermissionResponse, Status> {
    let header = change(&context, &caller, Body::RoleGrantPermission(request)).await?;
    Ok(AuthRoleGrantPermissionResponse { header })
}

pub async fn role_revoke_permission(
    context: Arc<Context>,
    caller: Caller,
    request: AuthRoleRevokePermissionRequest,
) -> Result<AuthRoleRevokePermissionResponse, Status> {
    let header = change(&context, &caller, Body::RoleRevokePermission(request)).await?;
    Ok(AuthRoleRevokePermissionResponse { header })
}

/// Root may ask about every role, others about their own.
pub async fn role_get(
    context: Arc<Context>,
    caller: Caller,
    request: AuthRoleGetRequest,
) -> Result<AuthRoleGetResponse, Status> {
    context.read_barrier().await?;
    let permit = context
        .permit(&caller, |gate| {
            gate.root().or_else(|refused| {
                let own = gate.registry.has_role(gate.caller, &request.role);
                own.then_some(()).ok_or(refused)
            })
        })
        .await?;
    let registry = context.logins.registry();
    let perm = registry.permissions(&request.role).map_err(Error::from)?;
    context.still(permit)?;
    Ok(AuthRoleGetResponse {
        header: Some(context.header()),
        perm,
    })
}

pub async fn role_list(
    context: Arc<Context>,
    caller: Caller,
    _: AuthRoleListRequest,
) -> Result<AuthRoleListResponse, Status> {
    context.read_barrier().await?;
    let _ = context.permit(&caller, |gate| gate.root()).await?;
    Ok(AuthRoleListResponse {
        header: Some(context.header()),
        roles: context.logins.registry().role_names(),
    })
}
