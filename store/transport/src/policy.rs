//! What a handshake must agree on: versions, cipher suites, and who may come in.

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, ring};

use crate::error::Error;

/// The versions there are; older ones have been taken out of TLS (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Tls12,
    Tls13,
}

/// The suites that `--cipher-suites` may name: Go's names, which etcd takes, and rustls'.
pub const CIPHER_SUITES: &[(&str, rustls::CipherSuite)] = {
    use rustls::CipherSuite as S;
    &[
        ("TLS_AES_128_GCM_SHA256", S::TLS13_AES_128_GCM_SHA256),
        ("TLS_AES_256_GCM_SHA384", S::TLS13_AES_256_GCM_SHA384),
        (
            "TLS_CHACHA20_POLY1305_SHA256",
            S::TLS13_CHACHA20_POLY1305_SHA256,
        ),
        (
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ),
        (
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        ),
        (
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ),
        (
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
            S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ),
        (
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ),
        (
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ),
        (
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ),
        (
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
            S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ),
    ]
};

/// The flags of one side that are not files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who connects must show a certificate that the trusted CA has signed.
    pub client_cert_auth: bool,
    /// `--peer-cert-allowed-cn`: common names let in; any, if there are none.
    pub allowed_cns: Vec<String>,
    /// `--client-cert-allowed-hostname`: one of these must be in the certificate's names.
    pub allowed_hostnames: Vec<String>,
    /// The addresses or names in a certificate must lead to where its holder connects from.
    pub verify_source: bool,
    pub min_version: Version,
    pub max_version: Version,
    /// Go's names; empty for all.
    pub cipher_suites: Vec<String>,
    /// Whom this side dials is not verified: its certificate is a self-signed one.
    pub trust_any_server: bool,
    /// Protocols offered and accepted inside TLS (RFC 7301).
    pub alpn: Vec<Vec<u8>>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            client_cert_auth: false,
            allowed_cns: Vec::new(),
            allowed_hostnames: Vec::new(),
            verify_source: false,
            min_version: Version::Tls12,
            max_version: Version::Tls13,
            cipher_suites: Vec::new(),
            trust_any_server: false,
            alpn: Vec::new(),
        }
    }
}

impl Policy {
    pub(crate) fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, Error> {
        let all = [
            (Version::Tls13, &rustls::version::TLS13),
            (Version::Tls12, &rustls::version::TLS12),
        ];
        let range = self.min_version..=self.max_version;
        let chosen: Vec<_> = all
            .into_iter()
            .filter(|(version, _)| range.contains(version))
            .map(|(_, supported)| supported)
            .collect();
        match chosen.is_empty() {
            true => Err(Error::Versions),
            false => Ok(chosen),
        }
    }

    /// The cryptography, with nothing but the suites that may be used. As in Go the names given
    /// choose among the suites of TLS 1.2; those of 1.3 are always there.
    pub(crate) fn provider(&self) -> Result<Arc<CryptoProvider>, Error> {
        let mut provider = ring::default_provider();
        if self.cipher_suites.is_empty() {
            return Ok(Arc::new(provider));
        }
        let mut named = Vec::new();
        for name in &self.cipher_suites {
            let known = CIPHER_SUITES.iter().find(|(known, _)| known == name);
            named.push(known.ok_or_else(|| Error::UnknownSuite(name.clone()))?.1);
        }
        provider
            .cipher_suites
            .retain(|suite| suite.tls13().is_some() || named.contains(&suite.suite()));
        let versions = self.versions()?;
        let usable = |suite: &rustls::SupportedCipherSuite| {
            versions
                .iter()
                .any(|version| version.version == suite.version().version)
        };
        match provider.cipher_suites.iter().any(usable) {
            true => Ok(Arc::new(provider)),
            false => Err(Error::NoSuite),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suites(policy: &Policy) -> Vec<rustls::CipherSuite> {
        let provider = policy.provider().unwrap();
        provider.cipher_suites.iter().map(|s| s.suite()).collect()
    }

    #[test]
    fn suites_are_chosen_by_gos_names() {
        let named = Policy {
            cipher_suites: vec!["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".into()],
            ..Policy::default()
        };
        let left = suites(&named);
        assert!(left.contains(&rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256));
        assert!(!left.contains(&rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384));
        assert!(left.contains(&rustls::CipherSuite::TLS13_AES_128_GCM_SHA256));
        let unknown = Policy {
            cipher_suites: vec!["TLS_RSA_WITH_RC4_128_SHA".into()],
            ..Policy::default()
        };
        assert!(
            matches!(unknown.provider(), Err(Error::UnknownSuite(name)) if name.contains("RC4"))
        );
    }

    #[test]
    fn versions_are_a_range() {
        let versions = |min, max| {
            let policy = Policy {
                min_version: min,
                max_version: max,
                ..Policy::default()
            };
            policy.versions().map(|versions| versions.len()).ok()
        };
        assert_eq!(versions(Version::Tls12, Version::Tls13), Some(2));
        assert_eq!(versions(Version::Tls13, Version::Tls13), Some(1));
        assert_eq!(versions(Version::Tls13, Version::Tls12), None);
    }
}
