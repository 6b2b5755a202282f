//! The JSON gateway: the RPCs of the contract as POST requests below `/v3/`, for clients that have
//! HTTP and JSON and nothing else.
//!
//! It translates and calls; it implements no RPC. `exchange.rs` makes the call, `json.rs` converts,
//! `fault.rs` words errors. Paths, names and HTTP codes are etcd's.

mod cutter;
mod exchange;
mod fault;
mod headers;
mod json;
mod replies;
mod routes;
mod websocket;

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyDataStream;
use tonic::{Code, Status};

use crate::context::Context;
use crate::dispatch::Incoming;
use crate::grpc::{Body, Gone};
use exchange::{Answer, Exchange, Objects, Text};

pub use websocket::Tunnel;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What an answer was made of; clients of etcd's gateway have seen it ever since.
const METADATA: HeaderName = HeaderName::from_static("grpc-metadata-content-type");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Answers a request for `path`, given without `/v3/`, that came by TLS or not.
pub async fn answer<B: Incoming>(
    context: &Arc<Context>,
    path: &str,
    request: Request<B>,
    secure: bool,
    tunnel: &Tunnel,
) -> Response<Body> {
    let Some(exchange) = Exchange::find(context, path) else {
        return failed(&Status::new(Code::NotFound, "Not Found"));
    };
    let exchange = exchange.from(request.extensions().get().copied());
    if websocket::is_asked_for(&request) {
        return websocket::open(context, exchange, request, tunnel);
    }
    if request.method() != Method::POST {
        return failed(&Status::new(Code::Unimplemented, "Method Not Allowed"));
    }
    let (head, body) = request.into_parts();
    match exchange.call(&head.headers, text(body)).await {
        Ok(Answer::One(object)) => succeeded(Body::full(object)),
        Ok(Answer::Many(objects)) => streamed(objects).await,
        Err(status) => {
            let mut response = failed(&status);
            if secure && is_of_rpc(&status) {
                response.headers_mut().insert(METADATA, GRPC);
            }
            response
        }
    }
}

/// Whether an RPC has answered so, and not the gateway. etcd's shows what such an answer was made of
/// where it asks itself by TLS, and only there.
fn is_of_rpc(status: &Status) -> bool {
    status
        .metadata()
        .contains_key(header::CONTENT_TYPE.as_str())
}

fn text<B: Incoming>(body: B) -> Text {
    Box::pin(BodyDataStream::new(body).map(|piece| piece.map_err(|_| Gone)))
}

/// The head waits for the first message, because an error in its place has a status of its own.
async fn streamed(mut objects: Objects) -> Response<Body> {
    match objects.next().await {
        // A stream that ends without a word, as one of keep-alives does whose request was empty.
        None => Response::new(Body::empty()),
        Some(Err(status)) => {
            let mut response = failed(&status);
            *response.body_mut() = Body::full(fault::line(&status));
            response
        }
        Some(Ok(first)) => {
            let first = futures::stream::iter([line(&first)]);
            succeeded(Body::pieces(first.chain(lines(objects))))
        }
    }
}

fn lines(objects: Objects) -> impl Stream<Item = Bytes> + Send + Unpin {
    objects.map(|object| match object {
        Ok(object) => line(&object),
        Err(status) => fault::line(&status),
    })
}

/// One message of a stream.
fn line(object: &Bytes) -> Bytes {
    [b"{\"result\":", object.as_ref(), b"}\n"].concat().into()
}

fn succeeded(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(METADATA, GRPC);
    response
}

fn failed(status: &Status) -> Response<Body> {
    let mut response = Response::new(Body::full(fault::body(status)));
    *response.status_mut() = fault::status(status.code());
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// `/v3` itself: the gateway is one slash further on. A browser is shown the way, as Go's server
/// does it.
pub fn moved(method: &Method) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if *method == Method::GET {
        *response.body_mut() = Body::full("<a href=\"/v3/\">Temporary Redirect</a>.\n\n");
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, html);
    }
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let location = HeaderValue::from_static("/v3/");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn content(response: Response<Body>) -> String {
        let mut body = response.into_body();
        let mut content = Vec::new();
        while let Some(frame) = body.frame().await {
            let mut chunk = frame.unwrap().into_data().ok().unwrap();
            let length = bytes::Buf::remaining(&chunk);
            content.extend_from_slice(&bytes::Buf::copy_to_bytes(&mut chunk, length));
        }
        String::from_utf8(content).unwrap()
    }

    fn objects(items: Vec<Result<Bytes, Status>>) -> Objects {
        Box::pin(futures::stream::iter(items))
    }

    #[tokio::test]
    async fn an_error_shows_whether_an_rpc_has_made_it() {
        let refused = crate::grpc::refused(&Status::not_found("x"));
        let mut replies = replies::Replies::new(refused);
        let told = replies.next().await.unwrap().unwrap_err();
        assert!(is_of_rpc(&told));
        assert!(!is_of_rpc(&Status::not_found("x")));
    }

    #[tokio::test]
    async fn streams_are_lines() {
        let items = vec![
            Ok("{}".into()),
            Ok("{\"a\":1}".into()),
            Err(Status::aborted("x")),
        ];
        let response = streamed(objects(items)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()["grpc-metadata-content-type"],
            "application/grpc"
        );
        assert_eq!(
            content(response).await,
            "{\"result\":{}}\n{\"result\":{\"a\":1}}\n\
             {\"error\":{\"code\":10,\"message\":\"x\"}}\n"
        );
    }

    #[tokio::test]
    async fn an_error_in_place_of_the_first_message_has_its_status() {
        let response = streamed(objects(vec![Err(Status::invalid_argument("x"))])).await;
        assert_eq!(response.status(), 400);
        assert_eq!(
            content(response).await,
            "{\"error\":{\"code\":3,\"message\":\"x\"}}\n"
        );
        let silent = streamed(objects(Vec::new())).await;
        assert_eq!(
            (silent.status().as_u16(), content(silent).await.as_str()),
            (200, "")
        );
    }

    #[tokio::test]
    async fn slash_and_v3_are_two_places() {
        let response = moved(&Method::POST);
        assert_eq!(response.status(), 307);
        assert_eq!(response.headers()["location"], "/v3/");
    }
}
