//! How a member is reached: by the address of its pod, verified by its name.
//!
//! The name is that of the member's certificate. No name is resolved for it: the API server has
//! said where the pod is, and a resolver's caches would only be older.

use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use mainstay_transport::{ClientTls, bottom};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::error::Error;

/// Longest wait for a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What the operator shows to members and trusts them by.
#[derive(Clone)]
pub struct Credentials(ClientTls);

impl Credentials {
    /// From a Secret's `ca.crt`, `tls.crt` and `tls.key`.
    pub fn from_pem(ca: &[u8], certificate: &[u8], key: &[u8]) -> Result<Credentials, Error> {
        let tls = ClientTls::from_pem(ca, (certificate, key), &[b"h2"])?;
        Ok(Credentials(tls))
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// Where a member listens for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Of the pod, with the client port.
    pub socket: SocketAddr,
    /// The name that its certificate must have.
    pub host: String,
}

/// A channel to one member, open.
pub(crate) async fn open(address: &Address, credentials: &Credentials) -> Result<Channel, Error> {
    let host = address.host.clone();
    let unreachable = |reason: String| Error::Unreachable {
        host: host.clone(),
        reason,
    };
    // The scheme is that of what is inside the connection, which is made below.
    let endpoint = Endpoint::from_shared(format!("http://{host}:{}", address.socket.port()))
        .map_err(|error| unreachable(error.to_string()))?
        .connect_timeout(CONNECT_TIMEOUT);
    let (address, Credentials(tls)) = (address.clone(), credentials.clone());
    let dial = service_fn(move |_| dial(address.clone(), tls.clone()));
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, endpoint.connect_with_connector(dial));
    match connected.await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(unreachable(bottom(&error))),
        Err(_) => Err(unreachable("the connection took too long".to_owned())),
    }
}

async fn dial(
    address: Address,
    tls: ClientTls,
) -> std::io::Result<TokioIo<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin>> {
    let stream = TcpStream::connect(address.socket).await?;
    stream.set_nodelay(true)?;
    let secure = tls.connect(stream, &address.host).await;
    secure.map(TokioIo::new).map_err(std::io::Error::other)
}
