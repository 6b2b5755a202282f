//! What a process answers that is no member yet, or none any more: it lives, it is not ready, and it
//! says why. Everything else is refused.

use std::convert::Infallible;

use ::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::{Code, Status};

use crate::dispatch;
use crate::grpc::{self, Body};
use crate::http::text;
use crate::limits::{HEADER_LIST_BYTES, HTTP1_BUFFER_BYTES};

/// Serves one accepted connection until its client closes it.
pub async fn serve_waiting<I>(io: I, reason: String)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(HTTP1_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_LIST_BYTES);
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(&request, &reason);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = builder.serve_connection(TokioIo::new(io), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to a waiting process broke");
    }
}

fn answer<B>(request: &Request<B>, reason: &str) -> Response<Body> {
    if dispatch::is_grpc(request) {
        let why = format!("mainstay: not a member: {reason}");
        return grpc::refused(&Status::new(Code::Unavailable, why));
    }
    let path = request.uri().path();
    if path == "/livez" || path.starts_with("/livez/") {
        return text(StatusCode::OK, "ok\n".to_owned());
    }
    let unavailable = |body| text(StatusCode::SERVICE_UNAVAILABLE, body);
    if path == "/health" {
        let reason = serde_json::Value::from(reason);
        return unavailable(format!(r#"{{"health":"false","reason":{reason}}}"#) + "\n");
    }
    if path == "/readyz" || path.starts_with("/readyz/") {
        return unavailable(format!("[-]membership failed: {reason}\n\n"));
    }
    unavailable(format!("{reason}\n"))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn page(path: &str) -> (u16, String) {
        let request = Request::get(path).body(()).unwrap();
        let response = answer(&request, "it was \"removed\"");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await;
        let Ok(body) = body else {
            panic!("a body");
        };
        let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        (status, text)
    }

    #[tokio::test]
    async fn it_lives_and_is_not_ready() {
        assert_eq!(page("/livez").await, (200, "ok\n".to_owned()));
        let (status, text) = page("/readyz").await;
        assert_eq!(status, 503);
        assert_eq!(text, "[-]membership failed: it was \"removed\"\n\n");
        let (status, text) = page("/health").await;
        let expected = "{\"health\":\"false\",\"reason\":\"it was \\\"removed\\\"\"}\n";
        assert_eq!((status, text.as_str()), (503, expected));
        assert_eq!(page("/v3/kv/range").await.0, 503);
    }
}
