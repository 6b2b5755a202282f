//! One side's TLS as it is at present.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;

use crate::certificate::{Certificate, Loaded, Role};
use crate::error::{Error, Refused};
use crate::handshakes::Handshakes;
use crate::material::{Files, Material, Pair};
use crate::policy::Policy;
use crate::resolver::Resolver;
use crate::verifier;

/// Which flags it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Client,
    Peer,
}

impl Side {
    pub fn label(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Peer => "peer",
        }
    }
}

/// TLS of one side; clones share it. What is loaded changes under it when its files do.
#[derive(Clone)]
pub struct Tls(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub side: Side,
    pub files: Files,
    pub policy: Policy,
    pub resolver: Resolver,
    pub handshakes: Handshakes,
    /// How many were refused, by reason.
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    now: RwLock<Arc<Now>>,
    /// Counts what has been loaded.
    changed: watch::Sender<u64>,
}

/// What was made of the files when they were last read whole.
pub(crate) struct Now {
    pub digest: [u8; 32],
    pub server: Arc<ServerConfig>,
    /// `None` if there is nothing to verify a server by.
    pub client: Option<Arc<ClientConfig>>,
    pub of_clients: Option<Arc<dyn ClientCertVerifier>>,
    pub of_servers: Option<Arc<dyn ServerCertVerifier>>,
    pub loaded: Vec<Loaded>,
}

impl Tls {
    /// Reads the files once; whatever is wrong with them or with the flags is told now.
    pub fn open(
        side: Side,
        files: Files,
        policy: Policy,
        resolver: Resolver,
    ) -> Result<Tls, Error> {
        let now = Now::make(&Material::read(&files)?, &policy)?;
        Ok(Tls(Arc::new(Inner {
            side,
            files,
            policy,
            resolver,
            handshakes: Handshakes::default(),
            refusals: Mutex::default(),
            now: RwLock::new(Arc::new(now)),
            changed: watch::Sender::new(0),
        })))
    }

    pub fn side(&self) -> Side {
        self.0.side
    }

    /// The certificates in use, with their ends.
    pub fn loaded(&self) -> Vec<Loaded> {
        self.now().loaded.clone()
    }

    /// Times the files have been read anew since the start.
    pub fn reloads(&self) -> u64 {
        *self.0.changed.borrow()
    }

    /// Connections refused since the start, by [`Refused::label`].
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.0.refusals.lock().clone()
    }

    pub(crate) fn count(&self, refused: &Refused) {
        let mut refusals = self.0.refusals.lock();
        *refusals.entry(refused.label()).or_default() += 1;
    }

    pub(crate) fn now(&self) -> Arc<Now> {
        self.0.now.read().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    pub(crate) fn replace(&self, now: Now) {
        *self.0.now.write() = Arc::new(now);
        self.0.changed.send_modify(|count| *count += 1);
    }
}

impl Now {
    pub(crate) fn make(material: &Material, policy: &Policy) -> Result<Now, Error> {
        let provider = policy.provider()?;
        let versions = policy.versions()?;
        let of_clients = verifier::of_clients(material, policy, &provider)?;
        let of_servers = verifier::of_servers(material, policy, &provider)?;
        check(&material.own, &provider)?;
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|error| Error::Verifier(error.to_string()))?;
        let server = match &of_clients {
            Some(verifier) => server.with_client_cert_verifier(verifier.clone()),
            None => server.with_no_client_auth(),
        };
        let (chain, key) = parts(&material.own);
        let mut server = server
            .with_single_cert(chain, key)
            .map_err(|error| misfit(&material.own, &error))?;
        server.alpn_protocols.clone_from(&policy.alpn);
        // A session that is resumed shows no certificate: one that has expired or been revoked
        // since would be let in.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let client = match &of_servers {
            Some(verifier) => Some(Arc::new(dialling(material, policy, &provider, verifier)?)),
            None => None,
        };
        Ok(Now {
            digest: material.digest,
            server: Arc::new(server),
            client,
            of_clients,
            of_servers,
            loaded: list(material),
        })
    }
}

fn dialling(
    material: &Material,
    policy: &Policy,
    provider: &Arc<CryptoProvider>,
    verifier: &Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, Error> {
    let pair = material.dialling.as_ref().unwrap_or(&material.own);
    check(pair, provider)?;
    let (chain, key) = parts(pair);
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&policy.versions()?)
        .map_err(|error| Error::Verifier(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_auth_cert(chain, key)
        .map_err(|error| misfit(pair, &error))?;
    config.alpn_protocols.clone_from(&policy.alpn);
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The key must be that of the certificate: found out now and not by who connects.
fn check(pair: &Pair, provider: &Arc<CryptoProvider>) -> Result<(), Error> {
    let (chain, key) = parts(pair);
    CertifiedKey::from_der(chain, key, provider)
        .map(drop)
        .map_err(|error| misfit(pair, &error))
}

pub(crate) fn parts(pair: &Pair) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    (pair.chain.clone(), pair.key.clone_key())
}

pub(crate) fn misfit(pair: &Pair, error: &rustls::Error) -> Error {
    Error::Pair {
        cert: pair.cert_path.clone(),
        key: pair.key_path.clone(),
        reason: error.to_string(),
    }
}

fn list(material: &Material) -> Vec<Loaded> {
    let leaf = |role, pair: &Pair| {
        let certificate = Certificate::read(pair.chain.first()?)?;
        Some(Loaded { role, certificate })
    };
    let mut all: Vec<Loaded> = leaf(Role::Listening, &material.own).into_iter().collect();
    all.extend(
        material
            .dialling
            .iter()
            .filter_map(|pair| leaf(Role::Dialling, pair)),
    );
    let trusted = material.trusted.iter().flatten();
    all.extend(trusted.filter_map(|der| {
        let certificate = Certificate::read(der)?;
        Some(Loaded {
            role: Role::Trusted,
            certificate,
        })
    }));
    all
}
