//! The files TLS is made of, read whole.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// No certificate, key or list is larger; what is has been named by mistake.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Where they lie: the flags of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// `--cert-file`, `--key-file`: what this member shows to who connects, and, unless the next
    /// two are given, to whom it dials.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// `--client-cert-file`, `--client-key-file`.
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    /// `--trusted-ca-file`: a bundle of PEM certificates.
    pub trusted_ca: Option<PathBuf>,
    /// `--client-crl-file`: PEM or DER.
    pub crl: Option<PathBuf>,
}

/// A certificate chain with its key.
pub(crate) struct Pair {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub cert_path: PathBuf,
    pub key_path: PathBuf,
}

/// Everything read at one time.
pub(crate) struct Material {
    pub own: Pair,
    /// What is shown when dialling, where that is another one.
    pub dialling: Option<Pair>,
    pub trusted: Option<Vec<CertificateDer<'static>>>,
    pub crls: Vec<CertificateRevocationListDer<'static>>,
    /// Over the bytes of all files, so that a change is seen whatever a clock or a link says.
    pub digest: [u8; 32],
}

impl Pair {
    pub fn read(cert: &Path, key: &Path) -> Result<Pair, Error> {
        pair(cert, key, &mut read)
    }

    /// From PEM that is in no file; errors name the parts as a Kubernetes Secret does.
    pub fn parse(cert: &[u8], key: &[u8]) -> Result<Pair, Error> {
        let names = [Path::new("tls.crt"), Path::new("tls.key")];
        let mut given = |path: &Path| Ok(if path == names[0] { cert } else { key }.to_vec());
        pair(names[0], names[1], &mut given)
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

impl Material {
    pub fn read(files: &Files) -> Result<Material, Error> {
        let mut digest = Sha256::new();
        let mut bytes = |path: &Path| -> Result<Vec<u8>, Error> {
            let bytes = read(path)?;
            digest.update(bytes.len().to_le_bytes());
            digest.update(&bytes);
            Ok(bytes)
        };
        let own = pair(&files.cert, &files.key, &mut bytes)?;
        let dialling = match (&files.client_cert, &files.client_key) {
            (Some(cert), Some(key)) => Some(pair(cert, key, &mut bytes)?),
            _ => None,
        };
        let trusted = match &files.trusted_ca {
            Some(path) => Some(certificates(path, &bytes(path)?)?),
            None => None,
        };
        let crls = match &files.crl {
            Some(path) => revocation_lists(path, &bytes(path)?)?,
            None => Vec::new(),
        };
        Ok(Material {
            own,
            dialling,
            trusted,
            crls,
            digest: digest.finalize().into(),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        return Err(malformed(path, format!("{length} bytes are too many")));
    }
    fs::read(path).map_err(failed)
}

/// The certificates of a bundle in a file.
pub(crate) fn bundle(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    certificates(path, &read(path)?)
}

fn malformed(path: &Path, reason: impl ToString) -> Error {
    Error::Malformed {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn pair(
    cert: &Path,
    key: &Path,
    bytes: &mut impl FnMut(&Path) -> Result<Vec<u8>, Error>,
) -> Result<Pair, Error> {
    let chain = certificates(cert, &bytes(cert)?)?;
    let pem = bytes(key)?;
    let found = PrivateKeyDer::pem_slice_iter(&pem).next();
    let key_der = match found {
        Some(Ok(der)) => der,
        Some(Err(error)) => return Err(malformed(key, error)),
        None => {
            return Err(Error::Empty {
                path: key.to_owned(),
                what: "private key",
            });
        }
    };
    Ok(Pair {
        chain,
        key: key_der,
        cert_path: cert.to_owned(),
        key_path: key.to_owned(),
    })
}

/// The certificates of a PEM bundle, in its order.
pub(crate) fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| malformed(path, error))?;
    match found.is_empty() {
        true => Err(Error::Empty {
            path: path.to_owned(),
            what: "certificate",
        }),
        false => Ok(found),
    }
}

/// The lists of a PEM file, or the one list of a DER file.
fn revocation_lists(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let is_pem = bytes.windows(10).any(|window| window == b"-----BEGIN");
    if !is_pem {
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    let mut lists = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        let (kind, der) = section.map_err(|error| malformed(path, error))?;
        if kind == SectionKind::Crl {
            lists.push(CertificateRevocationListDer::from(der));
        }
    }
    match lists.is_empty() {
        true => Err(Error::Empty {
            path: path.to_owned(),
            what: "revocation list",
        }),
        false => Ok(lists),
    }
}
