//! Authorities and certificates in Secrets, and those that members have loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use mainstay_operator_member::loaded::Loaded as Row;
use mainstay_operator_plan::observed::{
    Authority, CaCertificate, Certificate, Loaded, Plane, TlsView,
};
use mainstay_transport::Certificate as Read;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::members::Answer;
use crate::objects::Objects;
use crate::problems;
use crate::view::Source;

pub fn read(source: &Source<'_>, objects: &Objects, answers: &BTreeMap<u32, Answer>) -> TlsView {
    let secret = |name: &String| objects.secrets.get(name);
    let cas = source.authorities.iter().filter_map(|(plane, name)| {
        let found = authority(secret(name)?)?;
        Some((*plane, found))
    });
    let leaves = source.leaves.iter().filter_map(|(leaf, name)| {
        let none = Vec::new();
        let names = source.names.get(leaf).unwrap_or(&none);
        let found = certificate(secret(name)?, names)?;
        Some((*leaf, found))
    });
    let loaded = answers.iter().filter_map(|(ordinal, answer)| {
        let rows = &answer.metrics.as_ref().ok()?.loaded;
        let planes = Plane::ALL.into_iter();
        let planes: BTreeMap<_, _> = planes
            .filter_map(|plane| Some((plane, loaded(rows, plane)?)))
            .collect();
        (!planes.is_empty()).then_some((*ordinal, planes))
    });
    TlsView {
        lacks: problems::certificates(source, objects).into_iter().next(),
        cas: cas.collect(),
        leaves: leaves.collect(),
        loaded: loaded.collect(),
    }
}

/// Nothing if the signing certificate is missing or cannot be read.
fn authority(secret: &Secret) -> Option<Authority> {
    let one = |key: &str| {
        let der = ders(secret, key).into_iter().next()?;
        let read = Read::read(&der)?;
        Some(CaCertificate {
            fingerprint: read.fingerprint,
            not_after: timestamp(read.not_after),
        })
    };
    Some(Authority {
        signing: one("tls.crt")?,
        next: one("next.crt"),
        bundle: fingerprints(&ders(secret, "ca.crt")),
    })
}

fn certificate(secret: &Secret, names: &[String]) -> Option<Certificate> {
    let der = ders(secret, "tls.crt").into_iter().next()?;
    let read = Read::read(&der)?;
    let trusted = ders(secret, "ca.crt");
    let mut has: BTreeSet<String> = read.dns_names.iter().cloned().collect();
    has.extend(read.addresses.iter().map(ToString::to_string));
    Some(Certificate {
        issuer: issuer(&der, &trusted).unwrap_or_default(),
        not_after: timestamp(read.not_after),
        bundle: fingerprints(&trusted),
        lacks_names: names.iter().any(|name| !has.contains(name)),
        fingerprint: read.fingerprint,
    })
}

/// The fingerprint of that one of the trusted whose key has signed it.
fn issuer(der: &CertificateDer<'_>, trusted: &[CertificateDer<'_>]) -> Option<String> {
    let (_, leaf) = X509Certificate::from_der(der).ok()?;
    let signer = trusted.iter().find(|candidate| {
        X509Certificate::from_der(candidate).is_ok_and(|(_, ca)| {
            ca.subject() == leaf.issuer() && leaf.verify_signature(Some(ca.public_key())).is_ok()
        })
    })?;
    Some(Read::read(signer)?.fingerprint)
}

fn loaded(rows: &BTreeSet<Row>, plane: Plane) -> Option<Loaded> {
    let side = match plane {
        Plane::Client => "client",
        Plane::Peer => "peer",
    };
    let of = |role: &'static str| {
        let rows = rows
            .iter()
            .filter(move |row| row.side == side && row.role == role);
        rows.map(|row| row.fingerprint.clone())
    };
    Some(Loaded {
        fingerprint: of("listening").next()?,
        bundle: of("trusted").collect(),
    })
}

fn ders(secret: &Secret, key: &str) -> Vec<CertificateDer<'static>> {
    let pem = secret.data.as_ref().and_then(|data| data.get(key));
    let pem = pem.map(|bytes| bytes.0.as_slice()).unwrap_or_default();
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .collect()
}

fn fingerprints(ders: &[CertificateDer<'_>]) -> BTreeSet<String> {
    let read = ders.iter().filter_map(Read::read);
    read.map(|certificate| certificate.fingerprint).collect()
}

fn timestamp(time: SystemTime) -> Timestamp {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}
