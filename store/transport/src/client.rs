//! TLS of a command that dials a server and serves nobody: it has flags of its own, and its files
//! are read once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::connect::shake;
use crate::error::{Error, Refused};
use crate::material::{self, Pair};
use crate::tls::{misfit, parts};
use crate::verifier::{AnyServer, trusting};

/// `--cacert`, `--cert`, `--key` and `--insecure-skip-tls-verify`, as etcdctl has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// Whom to trust; the system's authorities, if none is given.
    pub trusted_ca: Option<PathBuf>,
    /// Certificate and key to show.
    pub pair: Option<(PathBuf, PathBuf)>,
    pub skip_verify: bool,
}

/// What a dialler shakes hands with.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Reads the files; `alpn` is what is spoken inside, `h2` for gRPC (RFC 7301).
    pub fn open(files: &ClientFiles, alpn: &[&[u8]]) -> Result<ClientTls, Error> {
        let pair = files.pair.as_ref();
        let pair = pair.map(|(cert, key)| Pair::read(cert, key)).transpose()?;
        let roots = match files.skip_verify {
            true => None,
            false => Some(roots(files.trusted_ca.as_deref())?),
        };
        ClientTls::new(roots, pair, alpn)
    }

    /// The same from what a Kubernetes Secret holds: a bundle to trust, and a certificate with its
    /// key to show. Errors name them as the Secret does.
    pub fn from_pem(bundle: &[u8], pair: (&[u8], &[u8]), alpn: &[&[u8]]) -> Result<Self, Error> {
        let trusted = material::certificates(Path::new("ca.crt"), bundle)?;
        let pair = Pair::parse(pair.0, pair.1)?;
        ClientTls::new(Some(trusting(&trusted)?), Some(pair), alpn)
    }

    /// Without roots any server is taken for who it says it is.
    fn new(
        roots: Option<RootCertStore>,
        pair: Option<Pair>,
        alpn: &[&[u8]],
    ) -> Result<ClientTls, Error> {
        let provider = Arc::new(ring::default_provider());
        let unusable = |error: rustls::Error| Error::Verifier(error.to_string());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match roots {
            Some(roots) => builder.with_root_certificates(roots),
            None => {
                let any = Arc::new(AnyServer(provider));
                builder.dangerous().with_custom_certificate_verifier(any)
            }
        };
        let mut config = match &pair {
            Some(pair) => {
                let (chain, key) = parts(pair);
                let shown = builder.with_client_auth_cert(chain, key);
                shown.map_err(|error| misfit(pair, &error))?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(ClientTls(Arc::new(config)))
    }

    /// Shakes hands with the host that `stream` leads to, which must be in its certificate.
    pub async fn connect(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<TlsStream<TcpStream>, Refused> {
        let (stream, _) = shake(self.0.clone(), stream, host).await?;
        Ok(stream)
    }
}

fn roots(bundle: Option<&Path>) -> Result<RootCertStore, Error> {
    let Some(path) = bundle else {
        let mut store = RootCertStore::empty();
        // One that cannot be read is one less to trust; the handshake says if it was needed.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(store);
    };
    trusting(&material::bundle(path)?)
}
