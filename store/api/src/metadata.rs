//! What is read from a request's headers before anything else is done for it.

use http::{Extensions, HeaderMap};
use opentelemetry::KeyValue;

use crate::context::Context;
use crate::error::Error;
use crate::logins::credentials::Credentials;
use crate::rights::{Learner, Row, Shape};
use crate::spans::Trace;

/// What the headers ask for, and who they say is asking.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// `hasleader: true`: better no answer than one of a member that has lost its leader.
    pub needs_leader: bool,
    /// Not verified yet: `Context::identify` does.
    pub credentials: Credentials,
    /// The span that what is done for the caller belongs to.
    trace: Option<Trace>,
}

impl Caller {
    pub fn traced(self, trace: Option<Trace>) -> Caller {
        Caller { trace, ..self }
    }

    /// The caller in a span of its own, which ends with the last clone of it.
    pub fn within(self, name: &'static str, attributes: impl FnOnce() -> Vec<KeyValue>) -> Caller {
        let trace = self.begin(name, attributes);
        self.traced(trace)
    }

    /// Begins a span below the caller's, if the call is traced.
    pub fn begin(
        &self,
        name: &'static str,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Option<Trace> {
        let trace = self.trace.as_ref()?;
        trace.within(name, attributes())
    }

    /// Notes something in the caller's span.
    pub fn event(&self, name: &'static str) {
        if let Some(trace) = &self.trace {
            trace.event(name);
        }
    }
}

/// Admits a call or refuses it, in etcd's order: learner, client version, leader.
pub fn admit(
    context: &Context,
    row: &Row,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Caller, Error> {
    if row.learner == Learner::Refuses && context.node.is_learner() {
        return Err(Error::NotSupportedForLearner);
    }
    let version = client_version(headers)?;
    context
        .observed
        .clients
        .count(row.shape != Shape::Unary, version);
    let needs_leader = needs_leader(headers);
    if needs_leader && context.node.leader().is_none() {
        return Err(Error::NoLeader);
    }
    Ok(Caller {
        needs_leader,
        credentials: Credentials::of(headers, extensions),
        trace: None,
    })
}

/// The `client-api-version`, `unknown` without one; it must be UTF-8.
fn client_version(headers: &HeaderMap) -> Result<&str, Error> {
    match headers.get("client-api-version") {
        None => Ok("unknown"),
        Some(value) => {
            std::str::from_utf8(value.as_bytes()).map_err(|_| Error::InvalidClientApiVersion)
        }
    }
}

fn needs_leader(headers: &HeaderMap) -> bool {
    headers
        .get("hasleader")
        .is_some_and(|value| value.as_bytes() == b"true")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn versions_must_be_utf8() {
        let mut headers = HeaderMap::new();
        assert_eq!(client_version(&headers), Ok("unknown"));
        headers.insert("client-api-version", HeaderValue::from_static("3.7"));
        assert_eq!(client_version(&headers), Ok("3.7"));
        let odd = HeaderValue::from_bytes(b"3.\xff").unwrap();
        headers.insert("client-api-version", odd);
        assert_eq!(
            client_version(&headers),
            Err(Error::InvalidClientApiVersion)
        );
    }

    #[test]
    fn only_true_asks_for_a_leader() {
        let mut headers = HeaderMap::new();
        assert!(!needs_leader(&headers));
        headers.insert("hasleader", HeaderValue::from_static("false"));
        assert!(!needs_leader(&headers));
        headers.insert("hasleader", HeaderValue::from_static("true"));
        assert!(needs_leader(&headers));
    }
}
