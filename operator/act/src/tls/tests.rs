//! Certificates that are made here are read and trusted by what members and the operator use.

use std::time::{Duration as Seconds, SystemTime};

use mainstay_transport::ClientTls;
use time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

fn request(purpose: Purpose) -> Request {
    Request {
        common_name: "root".into(),
        names: vec!["*.a-peer.n.svc".into(), "127.0.0.1".into()],
        purpose,
        lifetime: Duration::days(90),
    }
}

#[test]
fn a_leaf_says_what_was_asked_for_and_is_signed_by_its_authority() {
    let now = SystemTime::now();
    let authority = authority("a", Duration::days(3650), now).unwrap();
    let leaf = leaf(&authority, &request(Purpose::Member), now).unwrap();
    let [read] = &known(leaf.certificate.as_bytes())[..] else {
        panic!("one certificate");
    };
    assert_eq!(read.common_name, "root");
    assert_eq!(read.names, ["*.a-peer.n.svc", "127.0.0.1"]);
    let left = read.not_after.duration_since(now).unwrap();
    assert!(left <= Seconds::from_secs(90 * 86400) && left > Seconds::from_secs(89 * 86400));
    let (ca, cert) = (
        authority.certificate.as_bytes(),
        leaf.certificate.as_bytes(),
    );
    let used = ClientTls::from_pem(ca, (cert, leaf.key.as_bytes()), &[b"h2"]);
    assert!(used.is_ok());
}

#[test]
fn usages_are_those_of_members_and_of_clients() {
    let now = SystemTime::now();
    let authority = authority("a", Duration::days(3650), now).unwrap();
    for (purpose, server) in [(Purpose::Member, true), (Purpose::Client, false)] {
        let leaf = leaf(&authority, &request(purpose), now).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(leaf.certificate.as_bytes()).unwrap();
        let (_, ca) = x509_parser::pem::parse_x509_pem(authority.certificate.as_bytes()).unwrap();
        let (_, read) = X509Certificate::from_der(&pem.contents).unwrap();
        let (_, ca) = X509Certificate::from_der(&ca.contents).unwrap();
        let usage = read.extended_key_usage().unwrap().unwrap().value;
        assert_eq!((usage.server_auth, usage.client_auth), (server, true));
        assert!(!read.is_ca() && ca.is_ca());
        assert_eq!(read.issuer(), ca.subject());
    }
}

#[test]
fn a_bundle_holds_each_certificate_once() {
    let now = SystemTime::now();
    let make = |name| authority(name, Duration::days(1), now).unwrap().certificate;
    let (old, new) = (make("old"), make("new"));
    let both = bundle(&[&old, &new, &old.replace('\n', "\r\n"), "junk"]);
    let names: Vec<_> = known(both.as_bytes())
        .into_iter()
        .map(|known| known.common_name)
        .collect();
    assert_eq!(names, ["old", "new"]);
}

#[test]
fn an_authority_is_told_from_another_of_its_name() {
    let now = SystemTime::now();
    let make = || authority("same", Duration::days(1), now).unwrap();
    let (one, other) = (make(), make());
    let leaf = leaf(&one, &request(Purpose::Client), now).unwrap();
    let by = |authority: &Pair| {
        is_signed_by(
            leaf.certificate.as_bytes(),
            authority.certificate.as_bytes(),
        )
    };
    assert!(by(&one) && !by(&other));
    assert!(!is_signed_by(b"junk", one.certificate.as_bytes()));
}
