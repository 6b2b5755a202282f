//! The dialler's side of a handshake.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::Refused;
use crate::guarded::Guarded;
use crate::handshakes::HANDSHAKE_TIMEOUT;
use crate::session::{Session, chain_of};
use crate::tls::Tls;

impl Tls {
    /// Shakes hands over `stream` with the host it leads to: a name or an address, as the URL has
    /// it, which must be in the certificate shown.
    pub async fn connect(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<Guarded<TlsStream<TcpStream>>, Refused> {
        let changes = self.watch();
        let Some(config) = self.now().client.clone() else {
            return Err(Refused::Other(
                "there is no trusted CA to verify a server by".to_owned(),
            ));
        };
        let (stream, name) = shake(config, stream, host).await?;
        let chain = chain_of(stream.get_ref().1);
        let session = Session::of_server(self.clone(), chain, name, changes);
        Ok(Guarded::new(stream, session))
    }
}

/// Shakes hands with `host` within the time a handshake has; returns its name too.
pub(crate) async fn shake(
    config: Arc<ClientConfig>,
    stream: TcpStream,
    host: &str,
) -> Result<(TlsStream<TcpStream>, ServerName<'static>), Refused> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Refused::Other(format!("{host:?} is not a host name")))?;
    let handshake = TlsConnector::from(config).connect(name.clone(), stream);
    match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => Ok((stream, name)),
        Ok(Err(error)) => Err(Refused::of(&error)),
        Err(_) => Err(Refused::Slow),
    }
}
