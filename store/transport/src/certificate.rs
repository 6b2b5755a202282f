//! What can be read in a certificate without verifying it.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The parts of a certificate that decisions and metrics go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The last common name of the subject; etcd takes it for the user's name.
    pub common_name: Option<String>,
    pub dns_names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub not_after: SystemTime,
    /// SHA-256 of the certificate's DER, in lower-case hexadecimal.
    pub fingerprint: String,
}

/// What a certificate on disk is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Shown to who connects.
    Listening,
    /// Shown to whom this member dials.
    Dialling,
    /// What the other side's certificates are verified by.
    Trusted,
}

impl Role {
    pub fn label(self) -> &'static str {
        match self {
            Role::Listening => "listening",
            Role::Dialling => "dialling",
            Role::Trusted => "trusted",
        }
    }
}

/// A certificate that is in use at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub role: Role,
    pub certificate: Certificate,
}

impl Certificate {
    /// `None` if it is no certificate.
    pub fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let common_name = parsed
            .subject()
            .iter_common_name()
            .last()
            .and_then(|name| name.as_str().ok())
            .filter(|name| !name.is_empty())
            .map(str::to_owned);
        let (mut dns_names, mut addresses) = (Vec::new(), Vec::new());
        if let Ok(Some(names)) = parsed.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                    GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                    _ => {}
                }
            }
        }
        let seconds = parsed.validity().not_after.timestamp();
        let not_after = match u64::try_from(seconds) {
            Ok(seconds) => UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?,
            Err(_) => UNIX_EPOCH,
        };
        let digest = Sha256::digest(der);
        Some(Certificate {
            common_name,
            dns_names,
            addresses,
            not_after,
            fingerprint: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
