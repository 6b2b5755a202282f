//! The listener's side of a handshake.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificate::Certificate;
use crate::error::Refused;
use crate::guarded::Guarded;
use crate::handshakes::HANDSHAKE_TIMEOUT;
use crate::session::{Session, chain_of};
use crate::tls::Tls;

/// How long one that was refused may take to hear why.
const PARTING: Duration = Duration::from_millis(500);
/// What it may have sent meanwhile: a request that fits the first flight.
const PARTING_BYTES: u64 = 64 << 10;

/// Closes the connection of one that was refused, after the alert that says why is out. A socket
/// that is closed over unread bytes is reset, and the alert is lost with it; with TLS 1.3 a client
/// has sent its request before its certificate is looked at.
async fn part(mut stream: TcpStream) {
    let read_out = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(PARTING_BYTES), &mut tokio::io::sink()).await
    };
    let _ = timeout(PARTING, read_out).await;
}

/// A connection whose handshake is done.
pub struct Accepted {
    /// Ends once the certificate no longer verifies.
    pub stream: Guarded<TlsStream<TcpStream>>,
    /// What the other side has shown and proven to hold the key of.
    pub certificate: Option<Certificate>,
}

impl Tls {
    /// Shakes hands with who has connected from `from`. Whom it refuses it counts; the caller logs.
    pub async fn accept(&self, stream: TcpStream, from: SocketAddr) -> Result<Accepted, Refused> {
        let accepted = self.shake(stream, from).await;
        if let Err(refused) = &accepted {
            self.count(refused);
        }
        accepted
    }

    async fn shake(&self, stream: TcpStream, from: SocketAddr) -> Result<Accepted, Refused> {
        let (_place, crowded) = self.0.handshakes.enter();
        // Before the handshake: a change during it is a change for this session too.
        let changes = self.watch();
        let config: Arc<_> = self.now().server.clone();
        let handshake = TlsAcceptor::from(config).accept(stream).into_fallible();
        let handshake = async {
            match handshake.await {
                Ok(stream) => Ok(stream),
                Err((error, stream)) => {
                    part(stream).await;
                    Err(Refused::of(&error))
                }
            }
        };
        let stream = tokio::select! {
            done = timeout(HANDSHAKE_TIMEOUT, handshake) => done.unwrap_or(Err(Refused::Slow))?,
            _ = crowded => return Err(Refused::Crowded),
        };
        let chain = chain_of(stream.get_ref().1);
        let certificate = chain.first().and_then(Certificate::read);
        if self.0.policy.verify_source
            && let Some(certificate) = &certificate
            && !self.comes_from(certificate, from.ip()).await
        {
            return Err(Refused::WrongName);
        }
        let session = Session::of_client(self.clone(), chain, changes);
        Ok(Accepted {
            stream: Guarded::new(stream, session),
            certificate,
        })
    }

    /// etcd's rule for peers: where a certificate names addresses or hosts, its holder must
    /// connect from one of them.
    async fn comes_from(&self, certificate: &Certificate, from: IpAddr) -> bool {
        let from = from.to_canonical();
        if certificate.addresses.is_empty() && certificate.dns_names.is_empty() {
            return true;
        }
        if certificate.addresses.contains(&from) {
            return true;
        }
        let resolver = &self.0.resolver;
        for name in &certificate.dns_names {
            let leads_here = match name.strip_prefix("*.") {
                None => resolver
                    .lookup(name)
                    .await
                    .is_ok_and(|found| found.contains(&from)),
                // A wildcard leads nowhere; it is compared with the names of the address.
                Some(domain) => resolver.names_of(from).await.iter().any(|found| {
                    found
                        .split_once('.')
                        .is_some_and(|(_, rest)| rest == domain)
                }),
            };
            if leads_here {
                return true;
            }
        }
        false
    }
}
