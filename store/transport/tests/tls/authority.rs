//! A CA with certificates of every kind, and a pair of sides that use them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mainstay_transport::{Accepted, Files, Guarded, Policy, Refused, Resolver, Side, Tls};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber,
};
use time::{Duration, OffsetDateTime};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// How a certificate differs from a good one.
#[derive(Clone)]
pub struct Leaf {
    pub serial: u64,
    pub common_name: String,
    pub names: Vec<String>,
    pub from: Duration,
    pub until: Duration,
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
}

impl Default for Leaf {
    fn default() -> Leaf {
        Leaf {
            serial: 7,
            common_name: "member".into(),
            names: vec!["127.0.0.1".into(), "localhost".into()],
            from: Duration::days(-1),
            until: Duration::days(1),
            purposes: vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        }
    }
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key, as PEM.
    pub fn issue(&self, leaf: &Leaf) -> (String, String) {
        let mut params = CertificateParams::new(leaf.names.clone()).unwrap();
        params.serial_number = Some(SerialNumber::from(leaf.serial));
        params
            .distinguished_name
            .push(DnType::CommonName, &leaf.common_name);
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now + leaf.from, now + leaf.until);
        params.extended_key_usages.clone_from(&leaf.purposes);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A list that revokes these serial numbers.
    pub fn revoke(&self, serials: &[u64]) -> String {
        let now = OffsetDateTime::now_utc();
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now - Duration::hours(1),
            next_update: now + Duration::days(1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }

    /// Writes a certificate of this CA, its key and the bundle that verifies the other side.
    pub fn files(&self, dir: &Path, name: &str, leaf: &Leaf, trusted: &str) -> Files {
        let path = |what: &str| dir.join(format!("{name}.{what}"));
        let (cert, key) = self.issue(leaf);
        write(&path("crt"), &cert);
        write(&path("key"), &key);
        write(&path("ca"), trusted);
        Files {
            cert: path("crt"),
            key: path("key"),
            trusted_ca: Some(path("ca")),
            ..Files::default()
        }
    }
}

pub fn write(path: &PathBuf, text: &str) {
    std::fs::write(path, text).unwrap();
}

pub fn open(files: Files, policy: Policy) -> Tls {
    Tls::open(Side::Peer, files, policy, Resolver::system().unwrap()).unwrap()
}

pub type Dialled = Result<Guarded<TlsStream<TcpStream>>, Refused>;

/// One connection from `from` to `to`, and how each side saw it.
pub async fn meet(to: &Tls, from: &Tls, host: &str) -> (Result<Accepted, Refused>, Dialled) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let accept = async {
        let (stream, peer) = listener.accept().await.unwrap();
        to.accept(stream, peer).await
    };
    let connect = async {
        let stream = TcpStream::connect(address).await.unwrap();
        from.connect(stream, host).await
    };
    tokio::join!(accept, connect)
}
