//! `--auto-tls` and `--peer-auto-tls`: a certificate of the member's own making.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use time::{Duration, OffsetDateTime};

use crate::error::Error;
use crate::material::Files;

const CERT: &str = "cert.pem";
const KEY: &str = "key.pem";

/// The files of a self-signed certificate in `dir`; made there, if they are not there yet, for
/// `hosts` and so many years. The key is readable by its owner only.
pub fn self_signed(dir: &Path, hosts: &[String], years: u32) -> Result<Files, Error> {
    let files = Files {
        cert: dir.join(CERT),
        key: dir.join(KEY),
        ..Files::default()
    };
    if files.cert.exists() && files.key.exists() {
        return Ok(files);
    }
    let failed = |error: rcgen::Error| Error::SelfSigned(error.to_string());
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(failed)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "mainstay");
    params.distinguished_name = name;
    params.not_before = OffsetDateTime::now_utc();
    params.not_after = params.not_before + Duration::days(365 * i64::from(years));
    params.key_usages = vec![
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let certificate = params.self_signed(&key).map_err(failed)?;
    fs::create_dir_all(dir).map_err(|source| Error::Write {
        path: dir.to_owned(),
        source,
    })?;
    write(&files.key, &key.serialize_pem())?;
    write(&files.cert, &certificate.pem())?;
    Ok(files)
}

fn write(path: &Path, pem: &str) -> Result<(), Error> {
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}
