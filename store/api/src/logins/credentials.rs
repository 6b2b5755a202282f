//! What a request shows of its caller, before any of it is verified.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::{Extensions, HeaderMap, header::AUTHORIZATION};
use zeroize::Zeroizing;

/// The header that carries a token; `authorization` counts where there is none.
const TOKEN: &str = "token";
/// What may stand before a token, in either header.
const BEARER: &str = "Bearer ";
/// A proxy of etcd's that turns JSON into gRPC says so; a certificate is then that proxy's own.
const OF_GATEWAY: &str = "grpcgateway-accept";

/// The address that a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source(pub IpAddr);

/// The common name of the certificate that this connection has proven to hold the key of; empty
/// where the certificate names nobody.
#[derive(Clone, Debug)]
pub struct CertificateName(pub Arc<str>);

/// Empty for most requests of a cluster without users.
#[derive(Clone, Default)]
pub struct Credentials(Option<Arc<Shown>>);

#[derive(Default)]
struct Shown {
    /// The inner one is missing if the header is no text.
    token: Option<Option<Zeroizing<String>>>,
    certificate_name: Option<Arc<str>>,
    source: Option<IpAddr>,
}

impl Credentials {
    /// Reads headers, and what the connection has left with the request.
    pub fn of(headers: &HeaderMap, extensions: &Extensions) -> Credentials {
        let token = headers.get(TOKEN).or_else(|| headers.get(AUTHORIZATION));
        let certificate = extensions.get::<CertificateName>();
        let source = extensions.get::<Source>();
        if token.is_none() && certificate.is_none() && source.is_none() {
            return Credentials::default();
        }
        let token = token.map(|value| {
            let text = std::str::from_utf8(value.as_bytes()).ok()?;
            let token = text.strip_prefix(BEARER).unwrap_or(text);
            Some(Zeroizing::new(token.to_owned()))
        });
        let certificate_name = certificate
            .filter(|_| !headers.contains_key(OF_GATEWAY))
            .map(|name| name.0.clone());
        Credentials(Some(Arc::new(Shown {
            token,
            certificate_name,
            source: source.map(|source| source.0),
        })))
    }

    /// `Some(None)` is a token that cannot be one.
    pub fn token(&self) -> Option<Option<&str>> {
        let token = self.0.as_ref()?.token.as_ref()?;
        Some(token.as_ref().map(|token| token.as_str()))
    }

    pub fn certificate_name(&self) -> Option<&str> {
        self.0.as_ref()?.certificate_name.as_deref()
    }

    pub fn source(&self) -> Option<IpAddr> {
        self.0.as_ref()?.source
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static [u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn token_counts_before_authorization_and_both_may_say_bearer() {
        let of = |pairs: &[(&'static str, &'static [u8])]| {
            let shown = Credentials::of(&headers(pairs), &Extensions::new());
            shown.token().map(|token| token.map(str::to_owned))
        };
        assert_eq!(of(&[]), None);
        let both: &[(&str, &[u8])] = &[("authorization", b"b.2"), ("token", b"a.1")];
        assert_eq!(of(both), Some(Some("a.1".into())));
        assert_eq!(
            of(&[("authorization", b"Bearer b.2")]),
            Some(Some("b.2".into()))
        );
        assert_eq!(of(&[("token", b"Bearer a.1")]), Some(Some("a.1".into())));
        assert_eq!(of(&[("token", b"\xff")]), Some(None));
    }

    #[test]
    fn a_certificate_is_that_of_the_connection_and_of_no_gateway() {
        let mut extensions = Extensions::new();
        extensions.insert(CertificateName("alice".into()));
        let direct = Credentials::of(&headers(&[]), &extensions);
        assert_eq!(direct.certificate_name(), Some("alice"));
        let gateway = headers(&[(OF_GATEWAY, b"application/json")]);
        let through = Credentials::of(&gateway, &extensions);
        assert_eq!(through.certificate_name(), None);
        let nobody = Credentials::of(&headers(&[]), &Extensions::new());
        assert_eq!(nobody.certificate_name(), None);
    }

    #[test]
    fn nothing_of_it_is_shown() {
        let shown = Credentials::of(&headers(&[("token", b"secret.1")]), &Extensions::new());
        assert!(!format!("{shown:?}").contains("secret"));
    }
}
