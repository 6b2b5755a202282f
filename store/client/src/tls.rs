//! Certificates of the client's own and the authorities it trusts. Files are read again for each
//! connection: those that were rotated are in use from the next one on.

use mainstay_transport::{ClientFiles, ClientTls};
use parking_lot::Mutex;

use crate::error::Error;

/// gRPC is spoken inside (RFC 7301).
const ALPN: &[&[u8]] = &[b"h2"];

/// Whom a client trusts and what it shows, and where that comes from.
pub(crate) struct Tls {
    /// None if it was given itself, and so stays as it is.
    files: Option<ClientFiles>,
    /// What could be used last: certificate and key are two files, and a look may fall between
    /// their writes.
    last: Mutex<ClientTls>,
}

/// Certificates as they are in a Kubernetes Secret, each in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsPem {
    /// Whom to trust.
    pub trusted_ca: Vec<u8>,
    /// The certificate to show, with those between it and the authority.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for TlsPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsPem")
    }
}

impl Tls {
    pub(crate) fn open(files: ClientFiles) -> Result<Tls, Error> {
        let last = Mutex::new(ClientTls::open(&files, ALPN)?);
        Ok(Tls {
            files: Some(files),
            last,
        })
    }

    pub(crate) fn of_pem(pem: &TlsPem) -> Result<Tls, Error> {
        let shown = (&pem.certificate[..], &pem.key[..]);
        let last = ClientTls::from_pem(&pem.trusted_ca, shown, ALPN)?;
        Ok(Tls {
            files: None,
            last: Mutex::new(last),
        })
    }

    /// From the files as they are now, read where blocking harms nobody.
    pub(crate) async fn current(&self) -> Result<ClientTls, Error> {
        let Some(files) = self.files.clone() else {
            return Ok(self.last.lock().clone());
        };
        let read = tokio::task::spawn_blocking(move || ClientTls::open(&files, ALPN)).await;
        let mut last = self.last.lock();
        match read {
            Ok(Ok(tls)) => *last = tls,
            Ok(Err(error)) => {
                tracing::warn!(%error, "changed TLS files are not used");
            }
            // The runtime is shutting down.
            Err(_) => {}
        }
        Ok(last.clone())
    }
}
