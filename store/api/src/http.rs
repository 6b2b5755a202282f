//! HTTP that is not gRPC: health, version, metrics, variables, and the way to the JSON gateway.

mod health;
pub mod member;
mod metrics;
mod readyz;
mod vars;
mod version;

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};

pub use readyz::CheckCounters;

use crate::access;
use crate::context::Context;
use crate::dispatch::Incoming;
use crate::gateway::{self, Tunnel};
use crate::grpc::Body;
use crate::logins::credentials::CertificateName;

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// A client URL, by TLS or not.
    Client { secure: bool, serves: Serves },
    /// A URL of `--listen-metrics-urls`: metrics and health, nothing else.
    Metrics,
}

/// What a client URL answers. With `--listen-client-http-urls` gRPC and the rest have URLs of their
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    All,
    /// gRPC alone; a connection on which something else is asked is cut (etcd).
    Grpc,
    /// Everything but gRPC.
    Http,
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What the gateway tells a caller whose certificate names a user (etcd).
const NAME_IGNORED: &str = "CommonName of client sending a request against gateway will be ignored \
                            and not used as expected\n";

/// Answers a request by its path. What a client URL answers goes by the rules of `access.rs`.
pub async fn answer<B: Incoming>(
    context: &Arc<Context>,
    request: Request<B>,
    listener: Listener,
    tunnel: &Tunnel,
) -> Response<Body> {
    let Listener::Client { secure, .. } = listener else {
        return page(context, &request, listener).await;
    };
    // By TLS the certificate has shown whom the client has reached.
    if !secure && let Some(refusal) = context.access.refusal(&request) {
        return refusal;
    }
    let origin = context.access.origin(request.headers().get(header::ORIGIN));
    let mut response = if request.method() == Method::OPTIONS {
        Response::new(Body::empty())
    } else {
        route(context, request, listener, tunnel).await
    };
    if let Some(origin) = origin {
        access::allow(response.headers_mut(), origin);
    }
    response
}

async fn route<B: Incoming>(
    context: &Arc<Context>,
    request: Request<B>,
    listener: Listener,
    tunnel: &Tunnel,
) -> Response<Body> {
    let path = request.uri().path();
    if context.access.without_gateway {
        return page(context, &request, listener).await;
    }
    // `v3beta` is what the gateway was called in etcd 3.3, and clients of then are still about.
    let below = path
        .strip_prefix("/v3/")
        .or_else(|| path.strip_prefix("/v3beta/"));
    if below.is_some() && has_name(context, &request) {
        return text(StatusCode::BAD_REQUEST, NAME_IGNORED.to_owned());
    }
    if let Some(below) = below {
        let below = below.to_owned();
        let secure = matches!(listener, Listener::Client { secure: true, .. });
        return gateway::answer(context, &below, request, secure, tunnel).await;
    }
    if path == "/v3" {
        return gateway::moved(request.method());
    }
    page(context, &request, listener).await
}

/// Whether the caller's certificate names a user. Who has one might take itself for that user,
/// which it is not here (etcd).
fn has_name<B>(context: &Context, request: &Request<B>) -> bool {
    let name = request.extensions().get::<CertificateName>();
    context.logins.by_certificate
        && context.logins.registry().is_enabled()
        && name.is_some_and(|name| !name.0.is_empty())
}

async fn page<B>(
    context: &Arc<Context>,
    request: &Request<B>,
    listener: Listener,
) -> Response<Body> {
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    let method = request.method();
    let client = matches!(listener, Listener::Client { .. });
    match path {
        "/health" => health::answer(context, method, query).await,
        "/metrics" => metrics::answer(context),
        "/member" => member::answer(context, method, query),
        "/version" if client => version::answer(context, method),
        "/debug/vars" if client => vars::answer(context, method),
        _ => match readyz::find(path) {
            Some(checks) => readyz::answer(context, method, query, checks).await,
            None => text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        },
    }
}

/// A short text, as Go's `http.Error` sends one.
pub fn text(status: StatusCode, content: String) -> Response<Body> {
    let mut response = Response::new(Body::full(content));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, TEXT);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Refuses every method but GET.
fn only_get(method: &Method) -> Option<Response<Body>> {
    if method == Method::GET {
        return None;
    }
    let mut response = text(
        StatusCode::METHOD_NOT_ALLOWED,
        "Method Not Allowed\n".to_owned(),
    );
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static("GET"));
    Some(response)
}

/// The values of one query parameter that are not empty.
fn values(query: &str, name: &str) -> Vec<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .filter(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_repeat() {
        let query = "exclude=NOSPACE&verbose&exclude=&exclude=a%20b";
        assert_eq!(values(query, "exclude"), ["NOSPACE", "a b"]);
    }

    #[test]
    fn other_methods_are_told_which_is_allowed() {
        assert!(only_get(&Method::GET).is_none());
        let refused = only_get(&Method::HEAD).unwrap();
        assert_eq!(refused.status(), 405);
        assert_eq!(refused.headers()["allow"], "GET");
    }
}
