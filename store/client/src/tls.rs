//! Certificates of the client's own and the authorities it trusts, read again for each connection:
//! files that were rotated are in use from the next connection on.

use mainstay_transport::{ClientFiles, ClientTls};
use parking_lot::Mutex;

use crate::error::Error;

/// gRPC is spoken inside (RFC 7301).
const ALPN: &[&[u8]] = &[b"h2"];

pub(crate) struct TlsFiles {
    files: ClientFiles,
    /// What could be used last: certificate and key are two files, and a look may fall between
    /// their writes.
    last: Mutex<ClientTls>,
}

impl TlsFiles {
    pub(crate) fn open(files: ClientFiles) -> Result<TlsFiles, Error> {
        let last = Mutex::new(ClientTls::open(&files, ALPN)?);
        Ok(TlsFiles { files, last })
    }

    /// From the files as they are now, read where blocking harms nobody.
    pub(crate) async fn current(&self) -> Result<ClientTls, Error> {
        let files = self.files.clone();
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
