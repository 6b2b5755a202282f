//! gRPC reflection, so that generic tools can talk to the server; tonic's service as it is.

use http::{Request, Response};
use tonic::{Code, Status};
use tonic_reflection::server::Builder;
use tower_service::Service;

use crate::dispatch::Incoming;
use crate::grpc::{self, Body};
use crate::rights::Method;

/// Answers one reflection stream. The service is built for each: it is asked for by hand.
pub async fn answer<B: Incoming>(method: Method, request: Request<B>) -> Response<Body> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(mainstay_proto::FILE_DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    let answered = match method {
        Method::ReflectionAlpha => match builder.build_v1alpha() {
            Ok(mut service) => service.call(request).await,
            Err(error) => return broken(&error),
        },
        _ => match builder.build_v1() {
            Ok(mut service) => service.call(request).await,
            Err(error) => return broken(&error),
        },
    };
    match answered {
        Ok(response) => response.map(Body::tonic),
        Err(never) => match never {},
    }
}

fn broken(error: &tonic_reflection::server::Error) -> Response<Body> {
    tracing::error!(%error, "the descriptors of the API are broken");
    grpc::refused(&Status::new(Code::Internal, "reflection is not available"))
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, ServerReflectionResponse,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };

    use super::*;
    use crate::grpc::{Coding, PREFIX_BYTES, encode};

    #[tokio::test]
    async fn services_are_listed() {
        let list = ServerReflectionRequest {
            message_request: Some(MessageRequest::ListServices(String::new())),
            ..Default::default()
        };
        let message = encode(&list, Coding::Identity).unwrap();
        let request = Request::post("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
            .header("content-type", "application/grpc")
            .body(Full::new(message))
            .unwrap();
        let response = answer(Method::Reflection, request).await;
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let answer: ServerReflectionResponse =
            prost::Message::decode(&bytes[PREFIX_BYTES..]).unwrap();
        let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else {
            panic!("{answer:?}");
        };
        let names: Vec<_> = services.service.iter().map(|s| s.name.as_str()).collect();
        for name in [
            "etcdserverpb.KV",
            "etcdserverpb.Watch",
            "grpc.health.v1.Health",
        ] {
            assert!(names.contains(&name), "{names:?}");
        }
    }
}
