use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper_util::rt::TokioIo;
use mainstay_pki::Pair;
use mainstay_proto::etcdserverpb::{PutRequest, kv_client::KvClient};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// Longest wait for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// What a client speaks TLS with: whom it trusts and what it shows.
pub fn config(
    trusted: &std::path::Path,
    pair: Option<&Pair>,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(trusted)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match pair {
        Some(pair) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&pair.cert)?.collect();
            builder.with_client_auth_cert(chain?, PrivateKeyDer::from_pem_file(&pair.key)?)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

pub async fn dial(port: u16, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    // Otherwise each request waits 40 ms for the acknowledgement of what went before it.
    stream.set_nodelay(true)?;
    let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    TlsConnector::from(config).connect(name, stream).await
}

/// A gRPC channel, connected now; it does not connect anew.
pub async fn channel(port: u16, config: Arc<ClientConfig>) -> Result<Channel> {
    let endpoint = Endpoint::from_static("http://127.0.0.1").timeout(ANSWER_WAIT);
    channel_by(endpoint, port, config).await
}

/// The same with the limits of `endpoint`.
pub async fn channel_by(
    endpoint: Endpoint,
    port: u16,
    config: Arc<ClientConfig>,
) -> Result<Channel> {
    let connect = service_fn(move |_| {
        let config = config.clone();
        async move { dial(port, config).await.map(TokioIo::new) }
    });
    let channel = endpoint.connect_with_connector(connect).await;
    channel.context("no connection")
}

pub async fn put(channel: &Channel, key: &str) -> Result<()> {
    let request = PutRequest {
        key: key.to_owned().into(),
        value: "value".into(),
        ..PutRequest::default()
    };
    KvClient::new(channel.clone()).put(request).await?;
    Ok(())
}
