//! Auth as it answers while it is off. Users, roles and tokens come with the next issue.

use std::sync::Arc;

use mainstay_proto::etcdserverpb::{
    AuthDisableRequest, AuthDisableResponse, AuthEnableRequest, AuthEnableResponse,
    AuthStatusRequest, AuthStatusResponse, AuthenticateRequest, AuthenticateResponse,
};
use tonic::Status;

use crate::context::Context;
use crate::error::Error;

/// The revision of a store of users that was never changed.
pub const FIRST_AUTH_REVISION: u64 = 1;

/// Nobody can enable it: that needs a user root, and none can be added yet.
pub async fn enable(_: Arc<Context>, _: AuthEnableRequest) -> Result<AuthEnableResponse, Status> {
    Err(Error::RootUserNotExist.into())
}

/// Disabling what is off succeeds.
pub async fn disable(
    context: Arc<Context>,
    _: AuthDisableRequest,
) -> Result<AuthDisableResponse, Status> {
    context.read_barrier().await?;
    Ok(AuthDisableResponse {
        header: Some(context.header()),
    })
}

pub async fn status(
    context: Arc<Context>,
    _: AuthStatusRequest,
) -> Result<AuthStatusResponse, Status> {
    context.read_barrier().await?;
    Ok(AuthStatusResponse {
        header: Some(context.header()),
        enabled: false,
        auth_revision: FIRST_AUTH_REVISION,
    })
}

pub async fn authenticate(
    _: Arc<Context>,
    _: AuthenticateRequest,
) -> Result<AuthenticateResponse, Status> {
    Err(Error::AuthNotEnabled.into())
}
