//! gRPC with a server of the network, as commands and discovery speak it: its name is found by our
//! own resolver, and TLS is spoken where the caller says so.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use hyper_util::rt::TokioIo;
use mainstay_transport::{ClientTls, Resolver, bottom};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::flags::urls::host_port;

/// Connects to the host and port of `url`, within `limit`.
pub async fn channel(
    url: &str,
    tls: Option<ClientTls>,
    limit: Duration,
    resolver: Resolver,
) -> Result<Channel> {
    let (host, port) = host_port(url).with_context(|| format!("{url} names no host and port"))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let bare = bare.to_owned();
    // The scheme is that of what is inside the connection, which is made below.
    let endpoint = Endpoint::from_shared(format!("http://{host}:{port}"))?;
    let connect = service_fn(move |_| open(resolver.clone(), tls.clone(), bare.clone(), port));
    let channel = endpoint.connect_timeout(limit);
    let channel = channel.connect_with_connector(connect).await;
    channel.map_err(|error| anyhow!("{url}: {}", bottom(&error)))
}

/// Tries one address after the other.
async fn open(
    resolver: Resolver,
    tls: Option<ClientTls>,
    host: String,
    port: u16,
) -> std::io::Result<TokioIo<Box<dyn Stream>>> {
    let mut last = std::io::Error::other(format!("{host} has no address"));
    let addresses = resolver.lookup(&host).await;
    for address in addresses.map_err(std::io::Error::other)? {
        match open_at(address, tls.as_ref(), &host, port).await {
            Ok(stream) => return Ok(TokioIo::new(stream)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn open_at(
    address: IpAddr,
    tls: Option<&ClientTls>,
    host: &str,
    port: u16,
) -> std::io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((address, port)).await?;
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let secure = tls.connect(stream, host).await;
    Ok(Box::new(secure.map_err(std::io::Error::other)?))
}

/// A connection with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
