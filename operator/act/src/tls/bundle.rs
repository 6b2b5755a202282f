//! PEM that is there already: what it holds, and bundles of it.

use std::time::SystemTime;

use mainstay_transport::Certificate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// SHA-256 of the DER in lower-case hexadecimal, as members report what they have loaded.
    pub fingerprint: String,
    pub not_after: SystemTime,
    pub common_name: String,
    /// DNS names and addresses, in order.
    pub names: Vec<String>,
}

/// The certificates of a PEM text, first to last. What cannot be read is left out.
pub fn known(pem: &[u8]) -> Vec<Known> {
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    let read = certificates.filter_map(|der| Certificate::read(&der));
    read.map(|certificate| {
        let addresses = certificate.addresses.iter().map(ToString::to_string);
        let mut names = certificate.dns_names.to_vec();
        names.extend(addresses);
        names.sort();
        Known {
            fingerprint: certificate.fingerprint,
            not_after: certificate.not_after,
            common_name: certificate.common_name.unwrap_or_default(),
            names,
        }
    })
    .collect()
}

/// Whether the first certificate of a PEM text was signed by the first of another.
pub fn is_signed_by(leaf: &[u8], authority: &[u8]) -> bool {
    let first = |pem: &[u8]| {
        let mut ders = CertificateDer::pem_slice_iter(pem);
        ders.next().and_then(Result::ok)
    };
    let (Some(leaf), Some(authority)) = (first(leaf), first(authority)) else {
        return false;
    };
    let (Ok((_, leaf)), Ok((_, authority))) = (
        X509Certificate::from_der(&leaf),
        X509Certificate::from_der(&authority),
    ) else {
        return false;
    };
    leaf.issuer() == authority.subject()
        && leaf.verify_signature(Some(authority.public_key())).is_ok()
}

/// One PEM text of several, each certificate once.
pub fn bundle(parts: &[&str]) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    let mut blocks: Vec<String> = Vec::new();
    for part in parts {
        for block in part.split_inclusive(END) {
            let Some(start) = block.find("-----BEGIN CERTIFICATE-----") else {
                continue;
            };
            // Line ends differ between whoever wrote them.
            let block = block[start..].replace("\r\n", "\n");
            if !blocks.contains(&block) {
                blocks.push(block);
            }
        }
    }
    blocks.iter().map(|block| format!("{block}\n")).collect()
}
