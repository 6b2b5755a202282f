//! What a process answers that is no member yet, or none any more: it lives, it is not ready, and it
//! says why. Everything else is refused.

use std::convert::Infallible;
use std::sync::Arc;

use ::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::{Code, Status};

use crate::dispatch;
use crate::grpc::{self, Body};
use crate::http::{member, text};
use crate::limits::{HEADER_LIST_BYTES, HTTP1_BUFFER_BYTES};

/// Why a process takes no part, and what lies in its directory.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub reason: String,
    pub kept: Option<Kept>,
}

/// A member whose data is here and at rest.
#[derive(Clone, Debug)]
pub struct Kept {
    pub name: String,
    pub member: u64,
    pub cluster: u64,
    /// Term and index of the last entry of its log, which tell how much it knows: raft compares
    /// logs by them. `None` for an empty log, or one that cannot be read.
    pub log_end: Option<(u64, u64)>,
}

impl Waiting {
    pub fn because(reason: impl Into<String>) -> Waiting {
        let (reason, kept) = (reason.into(), None);
        Waiting { reason, kept }
    }
}

/// Serves one accepted connection until its client closes it.
pub async fn serve_waiting<I>(io: I, waiting: Arc<Waiting>)
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
        let response = answer(&request, &waiting);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = builder.serve_connection(TokioIo::new(io), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to a waiting process broke");
    }
}

fn answer<B>(request: &Request<B>, waiting: &Waiting) -> Response<Body> {
    let reason = waiting.reason.as_str();
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
    if let ("/member", Some(kept)) = (path, &waiting.kept) {
        return member::at_rest(kept, reason);
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
        let kept = Kept {
            name: "m".to_owned(),
            member: 10,
            cluster: 11,
            log_end: Some((3, 7)),
        };
        let waiting = Waiting {
            kept: Some(kept),
            ..Waiting::because("it was \"removed\"")
        };
        let response = answer(&request, &waiting);
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
        let (status, text) = page("/member").await;
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &told["role"]), (200, &"none".into()));
        assert_eq!(
            (&told["id"], &told["clusterID"]),
            (&"a".into(), &"b".into())
        );
        assert_eq!(told["log"], serde_json::json!({"term": 3, "index": 7}));
    }
}
