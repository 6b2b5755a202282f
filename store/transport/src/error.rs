//! What goes wrong with TLS: files that cannot be used, and handshakes that are refused.

use std::io;
use std::path::PathBuf;

use rustls::CertificateError;

/// Files or flags from which no TLS can be made. Secrets are never part of a message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path} holds no {what}")]
    Empty { path: PathBuf, what: &'static str },
    #[error("{path} is malformed: {reason}")]
    Malformed { path: PathBuf, reason: String },
    #[error("certificate {cert} and key {key} do not fit: {reason}")]
    Pair {
        cert: PathBuf,
        key: PathBuf,
        reason: String,
    },
    #[error("no trusted CA file is given to verify {0} by")]
    NoTrustedCa(&'static str),
    #[error("a revocation list needs a trusted CA file")]
    CrlWithoutCa,
    #[error("{0}")]
    Verifier(String),
    #[error("unexpected TLS cipher suite {0:?}")]
    UnknownSuite(String),
    #[error("none of the cipher suites given can be used with the TLS versions given")]
    NoSuite,
    #[error("minimum TLS version is above the maximum")]
    Versions,
    #[error("a self-signed certificate could not be made: {0}")]
    SelfSigned(String),
}

/// Why a connection came to nothing. Each reason is a line of its own in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the handshake took too long")]
    Slow,
    #[error("too many handshakes are under way")]
    Crowded,
    #[error("the connection was closed during the handshake")]
    Closed,
    #[error("no TLS is spoken")]
    NotTls,
    #[error("no TLS version or cipher suite is common to both sides")]
    Incompatible,
    #[error("no protocol inside TLS is common to both sides")]
    NoProtocol,
    #[error("no certificate was presented")]
    NoCertificate,
    #[error("the certificate is signed by an unknown authority")]
    UnknownAuthority,
    #[error("the certificate has expired")]
    Expired,
    #[error("the certificate is not valid yet")]
    NotYetValid,
    #[error("the certificate is revoked")]
    Revoked,
    #[error("the certificate is not for this purpose")]
    WrongPurpose,
    #[error("the certificate is for another name")]
    WrongName,
    #[error("the certificate's name is not among those allowed")]
    NotAllowed,
    #[error("the other side refused: {0}")]
    Alert(String),
    #[error("{0}")]
    Other(String),
}

impl Refused {
    /// Reads the reason out of what a handshake ended with.
    pub(crate) fn of(error: &io::Error) -> Refused {
        let inner = error
            .get_ref()
            .and_then(|e| e.downcast_ref::<rustls::Error>());
        match inner {
            Some(error) => Refused::of_tls(error),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionAborted => Refused::Closed,
                _ => Refused::Other(error.to_string()),
            },
        }
    }

    pub(crate) fn of_tls(error: &rustls::Error) -> Refused {
        use rustls::Error as Tls;
        match error {
            Tls::InvalidMessage(_) | Tls::InappropriateMessage { .. } => Refused::NotTls,
            Tls::PeerIncompatible(_) => Refused::Incompatible,
            Tls::NoApplicationProtocol => Refused::NoProtocol,
            Tls::NoCertificatesPresented => Refused::NoCertificate,
            Tls::InvalidCertificate(error) => Refused::of_certificate(error),
            Tls::AlertReceived(alert) => Refused::Alert(format!("{alert:?}")),
            other => Refused::Other(other.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Refused {
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Refused::UnknownAuthority
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Refused::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Refused::NotYetValid
            }
            CertificateError::Revoked => Refused::Revoked,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Refused::WrongPurpose
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Refused::WrongName
            }
            CertificateError::ApplicationVerificationFailure => Refused::NotAllowed,
            other => Refused::Other(other.to_string()),
        }
    }

    /// A word for the label of a counter.
    pub fn label(&self) -> &'static str {
        match self {
            Refused::Slow => "slow",
            Refused::Crowded => "crowded",
            Refused::Closed => "closed",
            Refused::NotTls => "not_tls",
            Refused::Incompatible => "incompatible",
            Refused::NoProtocol => "no_protocol",
            Refused::NoCertificate => "no_certificate",
            Refused::UnknownAuthority => "unknown_authority",
            Refused::Expired => "expired",
            Refused::NotYetValid => "not_yet_valid",
            Refused::Revoked => "revoked",
            Refused::WrongPurpose => "wrong_purpose",
            Refused::WrongName => "wrong_name",
            Refused::NotAllowed => "not_allowed",
            Refused::Alert(_) => "alert",
            Refused::Other(_) => "other",
        }
    }
}

/// The reason at the bottom of an error: those above it only say that something failed.
pub fn bottom(error: &dyn std::error::Error) -> String {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}
