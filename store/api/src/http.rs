//! Plain HTTP: health, version and metrics. The JSON gateway comes with the next issue.

mod health;
mod metrics;
mod readyz;
mod version;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};

pub use readyz::CheckCounters;

use crate::context::Context;
use crate::grpc::Body;

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// A client URL.
    Client,
    /// A URL of `--listen-metrics-urls`: metrics and health, nothing else.
    Metrics,
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Answers a request by its path.
pub async fn answer<B>(
    context: &Context,
    request: &Request<B>,
    listener: Listener,
) -> Response<Body> {
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    let method = request.method();
    match path {
        "/health" => health::answer(context, method, query).await,
        "/metrics" => metrics::answer(context),
        "/version" if listener == Listener::Client => version::answer(context, method),
        _ => match readyz::find(path) {
            Some(checks) => readyz::answer(context, method, query, checks).await,
            None => text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        },
    }
}

/// A short text, as Go's `http.Error` sends one.
fn text(status: StatusCode, content: String) -> Response<Body> {
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
