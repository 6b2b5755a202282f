//! Each way in which a certificate can be wrong.

use mainstay_transport::{Policy, Refused, Version};
use time::Duration;

use mainstay_pki::{Authority, Leaf, replace};

use crate::authority::{files, meet, open};

/// A member and somebody with this certificate who dials it.
struct Case {
    leaf: Leaf,
    policy: Policy,
    host: &'static str,
}

impl Default for Case {
    fn default() -> Case {
        Case {
            leaf: Leaf::default(),
            policy: Policy::default(),
            host: "127.0.0.1",
        }
    }
}

/// What the listener says of whom it refuses.
async fn refused(case: Case) -> Option<Refused> {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca").unwrap());
    let server = files(
        &authority,
        dir.path(),
        "server",
        &Leaf::default(),
        &authority.pem(),
    );
    let client = files(
        &authority,
        dir.path(),
        "client",
        &case.leaf,
        &authority.pem(),
    );
    let (accepted, _) = meet(
        &open(server, case.policy),
        &open(client, Policy::default()),
        case.host,
    )
    .await;
    accepted.err()
}

#[tokio::test]
async fn a_good_certificate_is_let_in_and_read() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca").unwrap());
    let server = files(
        &authority,
        dir.path(),
        "server",
        &Leaf::default(),
        &authority.pem(),
    );
    let client = files(
        &authority,
        dir.path(),
        "client",
        &Leaf::default(),
        &authority.pem(),
    );
    let (to, from) = (
        open(server, Policy::default()),
        open(client, Policy::default()),
    );
    let (accepted, dialled) = meet(&to, &from, "localhost").await;
    let certificate = accepted.unwrap().certificate.unwrap();
    assert_eq!(certificate.common_name.as_deref(), Some("member"));
    assert_eq!(certificate.dns_names, ["localhost"]);
    assert_eq!(certificate.fingerprint.len(), 64);
    assert!(dialled.is_ok());
    assert_eq!(to.loaded().len(), 2, "its own and the CA's");
}

#[tokio::test]
async fn times_purposes_and_names_are_checked() {
    let expired = Leaf {
        until: Duration::hours(-1),
        ..Leaf::default()
    };
    let case = |leaf| Case {
        leaf,
        ..Case::default()
    };
    assert_eq!(refused(case(expired)).await, Some(Refused::Expired));
    let early = Leaf {
        from: Duration::hours(1),
        ..Leaf::default()
    };
    assert_eq!(refused(case(early)).await, Some(Refused::NotYetValid));
    let server_only = Leaf {
        for_clients: false,
        ..Leaf::default()
    };
    assert_eq!(
        refused(case(server_only)).await,
        Some(Refused::WrongPurpose)
    );
    let named = |allowed: &str| Case {
        policy: Policy {
            allowed_cns: vec![allowed.into()],
            ..Policy::default()
        },
        ..Case::default()
    };
    assert_eq!(refused(named("member")).await, None);
    assert_eq!(refused(named("other")).await, Some(Refused::NotAllowed));
    let hosted = |allowed: &str| Case {
        policy: Policy {
            allowed_hostnames: vec![allowed.into()],
            ..Policy::default()
        },
        ..Case::default()
    };
    assert_eq!(refused(hosted("localhost")).await, None);
    assert_eq!(
        refused(hosted("elsewhere")).await,
        Some(Refused::NotAllowed)
    );
}

#[tokio::test]
async fn a_certificate_leads_to_where_it_comes_from() {
    let from_elsewhere = |names: &[&str]| Case {
        leaf: Leaf {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Leaf::default()
        },
        policy: Policy {
            verify_source: true,
            ..Policy::default()
        },
        ..Case::default()
    };
    assert_eq!(
        refused(from_elsewhere(&["10.0.0.9"])).await,
        Some(Refused::WrongName)
    );
    assert_eq!(
        refused(from_elsewhere(&["10.0.0.9", "127.0.0.1"])).await,
        None
    );
    assert_eq!(refused(from_elsewhere(&["localhost"])).await, None);
    assert_eq!(refused(from_elsewhere(&[])).await, None);
}

#[tokio::test]
async fn authorities_are_told_apart_by_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (
        Authority::new("ours").unwrap(),
        Authority::new("theirs").unwrap(),
    );
    let server = files(&ours, dir.path(), "server", &Leaf::default(), &ours.pem());
    let stranger = files(
        &theirs,
        dir.path(),
        "stranger",
        &Leaf::default(),
        &ours.pem(),
    );
    let server = open(server, Policy::default());
    let (accepted, _) = meet(&server, &open(stranger, Policy::default()), "127.0.0.1").await;
    assert_eq!(accepted.err(), Some(Refused::UnknownAuthority));
    let suspicious = files(
        &ours,
        dir.path(),
        "suspicious",
        &Leaf::default(),
        &theirs.pem(),
    );
    let suspicious = open(suspicious, Policy::default());
    let (_, dialled) = meet(&server, &suspicious, "127.0.0.1").await;
    assert_eq!(dialled.err(), Some(Refused::UnknownAuthority));
}

#[tokio::test]
async fn a_server_must_have_the_name_it_is_dialled_by() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca").unwrap());
    let elsewhere = Leaf {
        names: vec!["elsewhere.example".into()],
        ..Leaf::default()
    };
    let server = files(
        &authority,
        dir.path(),
        "server",
        &elsewhere,
        &authority.pem(),
    );
    let client = files(
        &authority,
        dir.path(),
        "client",
        &Leaf::default(),
        &authority.pem(),
    );
    let (server, client) = (
        open(server, Policy::default()),
        open(client, Policy::default()),
    );
    let (_, dialled) = meet(&server, &client, "127.0.0.1").await;
    assert_eq!(dialled.err(), Some(Refused::WrongName));
    let (_, dialled) = meet(&server, &client, "elsewhere.example").await;
    assert!(dialled.is_ok());
}

#[tokio::test]
async fn the_revoked_are_told_from_the_others() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca").unwrap());
    let crl = dir.path().join("crl");
    replace(&crl, &authority.revoke(&[8]).unwrap()).unwrap();
    let mut own = files(
        &authority,
        dir.path(),
        "server",
        &Leaf::default(),
        &authority.pem(),
    );
    own.crl = Some(crl);
    let server = open(own, Policy::default());
    for (serial, expected) in [(8, Some(Refused::Revoked)), (9, None)] {
        let leaf = Leaf {
            serial,
            ..Leaf::default()
        };
        let client = files(&authority, dir.path(), "client", &leaf, &authority.pem());
        let (accepted, _) = meet(&server, &open(client, Policy::default()), "127.0.0.1").await;
        assert_eq!(accepted.err(), expected);
    }
}

#[tokio::test]
async fn versions_must_have_one_in_common() {
    let old = Policy {
        max_version: Version::Tls12,
        ..Policy::default()
    };
    let new = Policy {
        min_version: Version::Tls13,
        ..Policy::default()
    };
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca").unwrap());
    let made = |name| {
        files(
            &authority,
            dir.path(),
            name,
            &Leaf::default(),
            &authority.pem(),
        )
    };
    let (accepted, _) = meet(&open(made("a"), new), &open(made("b"), old), "127.0.0.1").await;
    assert_eq!(accepted.err(), Some(Refused::Incompatible));
}
