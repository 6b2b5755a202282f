//! Cluster: who the members are. Changing them comes with the next issue.

use std::sync::Arc;

use mainstay_proto::etcdserverpb::{MemberListRequest, MemberListResponse};
use tonic::Status;

use crate::context::Context;
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
        header: Some(header::at(&context.node, 0)),
        members: context.node.members(),
    })
}
