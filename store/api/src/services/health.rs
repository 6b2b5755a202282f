//! The gRPC health service: one server, named by the empty string, and it is serving.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use prost::Message;
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
};

use super::leader;
use crate::context::Context;
use crate::dispatch::Incoming;
use crate::grpc::{MessageStream, Messages};
use crate::metadata::Caller;

pub async fn check(
    _: Arc<Context>,
    request: HealthCheckRequest,
) -> Result<HealthCheckResponse, Status> {
    match status_of(&request) {
        ServingStatus::ServiceUnknown => Err(Status::new(Code::NotFound, "unknown service")),
        status => Ok(HealthCheckResponse {
            status: status.into(),
        }),
    }
}

/// The status of now, and then nothing: it does not change while the process lives.
pub async fn watch<B: Incoming>(
    context: Arc<Context>,
    mut messages: Messages<B>,
    caller: Caller,
) -> Result<MessageStream, Status> {
    let request: HealthCheckRequest = messages.only().await?;
    let answer = HealthCheckResponse {
        status: status_of(&request).into(),
    };
    let first = futures::stream::iter([Ok(Bytes::from(answer.encode_to_vec()))]);
    let stream = first.chain(futures::stream::pending());
    Ok(leader::guard(context, caller, Box::pin(stream)))
}

fn status_of(request: &HealthCheckRequest) -> ServingStatus {
    if request.service.is_empty() {
        ServingStatus::Serving
    } else {
        ServingStatus::ServiceUnknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_server_has_a_status() {
        let named = HealthCheckRequest {
            service: "etcdserverpb.KV".into(),
        };
        assert_eq!(status_of(&named), ServingStatus::ServiceUnknown);
        assert_eq!(
            status_of(&HealthCheckRequest::default()),
            ServingStatus::Serving
        );
    }
}
