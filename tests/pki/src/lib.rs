//! A certificate authority for tests: certificates that are good, and certificates of every kind
//! that must be refused. It must not be used for anything that has to be secret.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber,
};
use time::{Duration, OffsetDateTime};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a certificate says; the default is good for both sides of a connection on loopback.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub serial: u64,
    pub common_name: String,
    /// The group of a Kubernetes user.
    pub organization: Option<String>,
    /// DNS names and addresses.
    pub names: Vec<String>,
    /// Its first and last moment, from now.
    pub from: Duration,
    pub until: Duration,
    pub for_servers: bool,
    pub for_clients: bool,
}

impl Default for Leaf {
    fn default() -> Leaf {
        Leaf {
            serial: 7,
            common_name: "member".into(),
            organization: None,
            names: vec!["127.0.0.1".into(), "localhost".into()],
            from: Duration::days(-1),
            until: Duration::days(1),
            for_servers: true,
            for_clients: true,
        }
    }
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(name: &str) -> Result<Authority> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        Ok(Authority(CertifiedIssuer::self_signed(params, key)?))
    }

    /// The certificate to trust, as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key, as PEM.
    pub fn issue(&self, leaf: &Leaf) -> Result<(String, String)> {
        let mut params = CertificateParams::new(leaf.names.clone())?;
        params.serial_number = Some(SerialNumber::from(leaf.serial));
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, &leaf.common_name);
        if let Some(organization) = &leaf.organization {
            name.push(DnType::OrganizationName, organization);
        }
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now + leaf.from, now + leaf.until);
        for (wanted, purpose) in [
            (leaf.for_servers, ExtendedKeyUsagePurpose::ServerAuth),
            (leaf.for_clients, ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            if wanted {
                params.extended_key_usages.push(purpose);
            }
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// The same in files `NAME.crt` and `NAME.key`, which are replaced by a rename each.
    pub fn write(&self, dir: &Path, name: &str, leaf: &Leaf) -> Result<Pair> {
        let pair = Pair {
            cert: dir.join(format!("{name}.crt")),
            key: dir.join(format!("{name}.key")),
        };
        let (cert, key) = self.issue(leaf)?;
        replace(&pair.cert, &cert)?;
        replace(&pair.key, &key)?;
        Ok(pair)
    }

    /// A list that revokes these serial numbers, as PEM.
    pub fn revoke(&self, serials: &[u64]) -> Result<String> {
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
        Ok(params.signed_by(&self.0)?.pem()?)
    }
}

/// The flags of a member that shows `pair` to clients and members alike and asks both for a
/// certificate that `ca` has signed; those of kubeadm's manifest.
pub fn member_flags(ca: &Path, pair: &Pair) -> Vec<String> {
    let (ca, cert, key) = (ca.display(), pair.cert.display(), pair.key.display());
    let mut flags = Vec::new();
    for side in ["", "peer-"] {
        flags.push(format!("--{side}cert-file={cert}"));
        flags.push(format!("--{side}key-file={key}"));
        flags.push(format!("--{side}trusted-ca-file={ca}"));
        flags.push(format!("--{side}client-cert-auth=true"));
    }
    flags
}

/// Writes a file so that whoever reads it finds the old or the new one, whole.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    let write = || {
        fs::write(&new, text)?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
