//! One member as a client reaches it: its address, and a channel that connects when it is used.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint as Transport};
use tower::service_fn;
use url::Url;

use crate::error::Error;
use crate::tls::Tls;

/// Longest wait for a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two pings of a connection; members cut off whoever pings more often than every five
/// seconds (etcd's `--grpc-keepalive-min-time`).
const PING_EVERY: Duration = Duration::from_secs(10);
/// A connection whose ping is not answered within it is taken for dead.
const PING_WAIT: Duration = Duration::from_secs(5);
/// etcd's port for clients.
const DEFAULT_PORT: u16 = 2379;

/// Where a member listens for clients, as `https://host:port`, `http://host:port` or `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
    tls: bool,
}

impl Address {
    /// Without a scheme it is TLS if `tls`.
    pub(crate) fn parse(text: &str, tls: bool) -> Result<Address, Error> {
        let wrong = |reason: &str| Error::Setting {
            what: "endpoint",
            value: text.to_owned(),
            reason: reason.to_owned(),
        };
        let whole = match (text.contains("://"), tls) {
            (true, _) => text.to_owned(),
            (false, true) => format!("https://{text}"),
            (false, false) => format!("http://{text}"),
        };
        let url = Url::parse(&whole).map_err(|error| wrong(&error.to_string()))?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("its scheme is neither http nor https")),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(wrong("it has a path"));
        }
        let host = match url.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => return Err(wrong("it names no host")),
        };
        // Url leaves out the port that its scheme has; written down it is meant.
        let written = whole.trim_end_matches('/');
        let port = match url.port() {
            Some(port) => port,
            None if written.ends_with(":443") => 443,
            None if written.ends_with(":80") => 80,
            None => DEFAULT_PORT,
        };
        Ok(Address { host, port, tls })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A channel that connects when it is used first, and again whenever its connection has ended.
pub(crate) fn open(address: &Address, tls: Option<Arc<Tls>>) -> Result<Channel, Error> {
    // The scheme is that of what is inside the connection, which is made by `dial`.
    let transport =
        Transport::from_shared(format!("http://{address}")).map_err(|error| Error::Setting {
            what: "endpoint",
            value: address.to_string(),
            reason: error.to_string(),
        })?;
    let transport = transport
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .keep_alive_while_idle(true);
    let (address, tls) = (address.clone(), tls.filter(|_| address.is_tls()));
    Ok(transport.connect_with_connector_lazy(service_fn(move |_| {
        let (address, tls) = (address.clone(), tls.clone());
        async move {
            let dialled = tokio::time::timeout(CONNECT_TIMEOUT, dial(&address, tls.as_deref()));
            dialled.await.unwrap_or_else(|_| {
                Err(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "the connection took too long",
                ))
            })
        }
    })))
}

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

async fn dial(
    address: &Address,
    tls: Option<&Tls>,
) -> std::io::Result<TokioIo<Box<dyn Connection>>> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return Ok(TokioIo::new(Box::new(stream)));
    };
    let tls = tls.current().await.map_err(std::io::Error::other)?;
    let secure = tls.connect(stream, &address.host).await;
    let secure = secure.map_err(std::io::Error::other)?;
    Ok(TokioIo::new(Box::new(secure)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, tls: bool) -> (String, bool) {
        let address = Address::parse(text, tls).unwrap();
        (address.to_string(), address.is_tls())
    }

    #[test]
    fn an_endpoint_needs_no_scheme_and_no_port() {
        assert_eq!(parsed("db.local", false), ("db.local:2379".into(), false));
        assert_eq!(parsed("db.local:1", true), ("db.local:1".into(), true));
        assert_eq!(parsed("http://[::1]:9", true), ("[::1]:9".into(), false));
        assert_eq!(parsed("https://db:443/", false), ("db:443".into(), true));
        assert_eq!(parsed("http://db:80", false), ("db:80".into(), false));
    }

    #[test]
    fn what_is_no_endpoint_is_said_to_be_none() {
        for text in ["", "ftp://a", "http://a/path", "http://", "http://a:99999"] {
            let error = Address::parse(text, false).unwrap_err().to_string();
            assert!(error.contains("is no endpoint"), "{error}");
        }
    }
}
