//! Whom HTTP is answered for: which web pages and host names, and whether by JSON. gRPC is not asked: no page can speak it.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};

use crate::grpc::Body;

/// `--cors`, `--host-whitelist` and `--enable-grpc-gateway`. By default everybody is answered, as in
/// etcd.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Origins whose pages may read answers, `scheme://host:port`.
    pub origins: Listed,
    /// Host names a plaintext request may come for. A page whose name was made to point at this
    /// member (DNS rebinding) is of the same origin as its answers, but not of a listed host.
    pub hosts: Listed,
    /// There is nothing below `/v3/`.
    pub without_gateway: bool,
}

/// Names that are let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Listed {
    #[default]
    All,
    Only(BTreeSet<String>),
}

impl Listed {
    fn holds(&self, name: &str) -> bool {
        match self {
            Listed::All => true,
            Listed::Only(names) => names.contains(name),
        }
    }
}

impl Access {
    /// The refusal of a request for a host that is not listed.
    pub fn refusal<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let host = host(request);
        if self.hosts.holds(host) {
            return None;
        }
        tracing::warn!(
            host,
            "an HTTP request for a host that is not listed was refused"
        );
        let content = format!(
            "The Host header of the request names {host:?}, which is not a host this member is \
             known by.\nUse TLS, or add the name to --host-whitelist.\n"
        );
        let status = StatusCode::MISDIRECTED_REQUEST;
        Some(crate::http::text(status, content))
    }

    /// What `Access-Control-Allow-Origin` says to a page of this origin, if it is let in.
    pub fn origin(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        if self.origins == Listed::All {
            return Some(HeaderValue::from_static("*"));
        }
        let origin = origin?;
        let listed = origin.to_str().is_ok_and(|name| self.origins.holds(name));
        listed.then(|| origin.clone())
    }
}

/// Tells a browser that a page of `origin` may read the answer.
pub fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    const METHODS: HeaderValue = HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE");
    const HEADERS: HeaderValue = HeaderValue::from_static("accept, content-type, authorization");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
}

/// The host a request is for, without its port. HTTP/2 has it in the URI.
fn host<B>(request: &Request<B>) -> &str {
    if let Some(host) = request.uri().host() {
        return bare(host);
    }
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    match host.rsplit_once(':') {
        // An IPv6 address without a port is full of colons and ends with a bracket.
        Some((name, port)) if !port.ends_with(']') => bare(name),
        _ => host,
    }
}

fn bare(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(names: &[&str]) -> Listed {
        Listed::Only(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn to(host: &str) -> Request<()> {
        let builder = Request::builder().header(header::HOST, host);
        builder.body(()).unwrap()
    }

    #[test]
    fn hosts_are_compared_without_their_port() {
        let access = Access {
            hosts: only(&["a.example", "::1"]),
            ..Default::default()
        };
        for host in ["a.example", "a.example:2379", "[::1]:2379"] {
            assert!(access.refusal(&to(host)).is_none(), "{host}");
        }
        for host in ["b.example", "localhost:2379", "127.0.0.1", ""] {
            let refused = access.refusal(&to(host));
            assert_eq!(refused.unwrap().status(), 421, "{host}");
        }
        let by_uri = Request::builder().uri("http://a.example:1/health");
        assert!(access.refusal(&by_uri.body(()).unwrap()).is_none());
        assert!(Access::default().refusal(&to("any")).is_none());
    }

    #[test]
    fn listed_origins_are_named_and_others_get_nothing() {
        let page = HeaderValue::from_static("http://a:1");
        let all = Access::default();
        assert_eq!(all.origin(None).unwrap(), "*");
        assert_eq!(all.origin(Some(&page)).unwrap(), "*");
        let listed = Access {
            origins: only(&["http://a:1"]),
            ..Default::default()
        };
        assert_eq!(listed.origin(Some(&page)).unwrap(), "http://a:1");
        assert_eq!(
            listed.origin(Some(&HeaderValue::from_static("http://b:1"))),
            None
        );
        assert_eq!(listed.origin(None), None);
    }
}
