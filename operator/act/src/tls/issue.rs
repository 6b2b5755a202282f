//! Authorities and certificates: ECDSA on P-256, which every TLS library knows and signs quickly.

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use time::{Duration, OffsetDateTime};

use super::Error;

/// Clocks of nodes differ; a certificate must be good on all of them at once.
const SKEW: Duration = Duration::hours(1);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair")
    }
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A member's: it also dials by it, other members and its own gateway.
    Member,
    /// A client's only.
    Client,
}

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct Request {
    /// etcd takes it for the name of a client's user.
    pub common_name: String,
    /// DNS names and addresses.
    pub names: Vec<String>,
    pub purpose: Purpose,
    /// How long it is good, from now.
    pub lifetime: Duration,
}

/// A new authority that signs by itself.
pub fn authority(common_name: &str, lifetime: Duration, now: SystemTime) -> Result<Pair, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    validity(&mut params, now, lifetime);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// A certificate with a new key, signed by `authority`.
pub fn leaf(authority: &Pair, request: &Request, now: SystemTime) -> Result<Pair, Error> {
    let mut params = CertificateParams::new(request.names.clone())?;
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, &request.common_name);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = match request.purpose {
        Purpose::Member => vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ],
        Purpose::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    validity(&mut params, now, request.lifetime);
    let signer = KeyPair::from_pem(&authority.key)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, signer)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn validity(params: &mut CertificateParams, now: SystemTime, lifetime: Duration) {
    let now = OffsetDateTime::from(now);
    params.not_before = now - SKEW;
    params.not_after = now + lifetime;
}
