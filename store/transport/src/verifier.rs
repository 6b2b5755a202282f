//! Who may connect, and whom we dial: webpki's rules, and the names that the flags allow.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore};
use rustls::{Error as TlsError, SignatureScheme};

use crate::certificate::Certificate;
use crate::error::Error;
use crate::material::Material;
use crate::policy::Policy;

/// webpki's verification of a client's certificate, and after it the names that may come in.
#[derive(Debug)]
struct Allowed {
    chain: Arc<dyn ClientCertVerifier>,
    cns: Vec<String>,
    hostnames: Vec<ServerName<'static>>,
}

impl ClientCertVerifier for Allowed {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        match self.names(end_entity) {
            true => Ok(verified),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

impl Allowed {
    /// One name out of each list that is not empty.
    fn names(&self, end_entity: &CertificateDer<'_>) -> bool {
        let cn = self.cns.is_empty()
            || Certificate::read(end_entity)
                .and_then(|certificate| certificate.common_name)
                .is_some_and(|name| self.cns.contains(&name));
        let hostname = self.hostnames.is_empty()
            || rustls::server::ParsedCertificate::try_from(end_entity).is_ok_and(|parsed| {
                let names = |name: &ServerName<'_>| {
                    rustls::client::verify_server_name(&parsed, name).is_ok()
                };
                self.hostnames.iter().any(names)
            });
        cn && hostname
    }
}

/// For the self-signed certificates of `--peer-auto-tls`, and who asks for no verification: any certificate will do, as in etcd, but
/// its holder must have the key. It keeps listeners out, not impostors.
#[derive(Debug)]
pub(crate) struct AnyServer(pub Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// How who connects is verified; `None` if nobody is asked for a certificate. As in etcd a trusted
/// CA alone asks for one.
pub(crate) fn of_clients(
    material: &Material,
    policy: &Policy,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Error> {
    let Some(roots) = roots(material)? else {
        return match policy.client_cert_auth {
            true => Err(Error::NoTrustedCa("client certificates")),
            false if !material.crls.is_empty() => Err(Error::CrlWithoutCa),
            false => Ok(None),
        };
    };
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
    if !material.crls.is_empty() {
        // A list speaks of the certificates of its issuer; those of others are not revoked by it.
        builder = builder
            .with_crls(material.crls.clone())
            .allow_unknown_revocation_status();
    }
    let chain = builder
        .build()
        .map_err(|error| Error::Verifier(error.to_string()))?;
    let mut hostnames = Vec::new();
    for name in &policy.allowed_hostnames {
        let name = ServerName::try_from(name.clone())
            .map_err(|_| Error::Verifier(format!("{name:?} is not a host name")))?;
        hostnames.push(name);
    }
    Ok(Some(Arc::new(Allowed {
        chain,
        cns: policy.allowed_cns.clone(),
        hostnames,
    })))
}

/// How whom we dial is verified; `None` if there is nothing to verify it by.
pub(crate) fn of_servers(
    material: &Material,
    policy: &Policy,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ServerCertVerifier>>, Error> {
    if policy.trust_any_server {
        return Ok(Some(Arc::new(AnyServer(provider.clone()))));
    }
    let Some(roots) = roots(material)? else {
        return Ok(None);
    };
    let mut builder = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
    if !material.crls.is_empty() {
        builder = builder
            .with_crls(material.crls.clone())
            .allow_unknown_revocation_status();
    }
    let verifier = builder
        .build()
        .map_err(|error| Error::Verifier(error.to_string()))?;
    Ok(Some(verifier))
}

fn roots(material: &Material) -> Result<Option<Arc<RootCertStore>>, Error> {
    let Some(trusted) = &material.trusted else {
        return Ok(None);
    };
    Ok(Some(Arc::new(trusting(trusted)?)))
}

/// A store of these authorities and no others.
pub(crate) fn trusting(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in authorities {
        store
            .add(certificate.clone())
            .map_err(|error| Error::Verifier(format!("trusted CA: {error}")))?;
    }
    Ok(store)
}
