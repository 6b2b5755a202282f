//! Files that change while connections are open.

use std::time::Duration;

use mainstay_transport::{Accepted, Error, Files, Policy, Refused, Tls, self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use mainstay_pki::{Authority, Leaf, replace};

use crate::authority::{Dialled, files, meet, open};

/// Far longer than a verification takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why the connection ends.
async fn end(accepted: &mut Accepted) -> Option<Refused> {
    let error = accepted.stream.read(&mut [0; 1]).await.err()?;
    error.get_ref()?.downcast_ref::<Refused>().cloned()
}

async fn connected(to: &Tls, from: &Tls) -> (Accepted, Dialled) {
    let (accepted, dialled) = meet(to, from, "127.0.0.1").await;
    assert!(dialled.is_ok());
    (accepted.unwrap(), dialled)
}

#[tokio::test]
async fn a_ca_that_is_taken_away_ends_what_it_has_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (
        Authority::new("old").unwrap(),
        Authority::new("new").unwrap(),
    );
    let both = old.pem() + &new.pem();
    let server = open(
        files(&new, dir.path(), "server", &Leaf::default(), &both),
        Policy::default(),
    );
    let client = |authority: &Authority, name| {
        open(
            files(authority, dir.path(), name, &Leaf::default(), &both),
            Policy::default(),
        )
    };
    let (mut with_old, _a) = connected(&server, &client(&old, "a")).await;
    let (mut with_new, _b) = connected(&server, &client(&new, "b")).await;
    assert!(!server.reload().unwrap(), "nothing has changed");

    replace(&dir.path().join("server.ca"), &new.pem()).unwrap();
    assert!(server.reload().unwrap());
    assert_eq!(server.reloads(), 1);
    let ended = timeout(PATIENCE, end(&mut with_old)).await;
    assert_eq!(ended, Ok(Some(Refused::UnknownAuthority)));
    let (accepted, _) = meet(&server, &client(&old, "c"), "127.0.0.1").await;
    assert_eq!(accepted.err(), Some(Refused::UnknownAuthority));
    // The change has been seen by the one that ended, so the other has had its turn as well.
    let alive = timeout(Duration::from_millis(200), end(&mut with_new)).await;
    assert!(alive.is_err());
}

#[tokio::test]
async fn a_revocation_ends_an_open_connection() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca").unwrap());
    let crl = dir.path().join("crl");
    replace(&crl, &authority.revoke(&[]).unwrap()).unwrap();
    let mut own = files(
        &authority,
        dir.path(),
        "server",
        &Leaf::default(),
        &authority.pem(),
    );
    own.crl = Some(crl.clone());
    let server = open(own, Policy::default());
    let client = files(
        &authority,
        dir.path(),
        "client",
        &Leaf::default(),
        &authority.pem(),
    );
    let (mut accepted, _dialled) = connected(&server, &open(client, Policy::default())).await;
    replace(&crl, &authority.revoke(&[7]).unwrap()).unwrap();
    assert!(server.reload().unwrap());
    let ended = timeout(PATIENCE, end(&mut accepted)).await;
    assert_eq!(ended, Ok(Some(Refused::Revoked)));
    let written = accepted.stream.write_all(b"late").await;
    assert!(written.is_err(), "nothing more is sent to it either");
}

#[tokio::test]
async fn half_a_rotation_changes_nothing() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca").unwrap());
    let own = files(
        &authority,
        dir.path(),
        "server",
        &Leaf::default(),
        &authority.pem(),
    );
    let server = open(own.clone(), Policy::default());
    let before = server.loaded();
    let (cert, key) = authority.issue(&Leaf::default()).unwrap();
    replace(&own.cert, &cert).unwrap();
    assert!(matches!(server.reload(), Err(Error::Pair { .. })));
    assert_eq!(server.loaded(), before);
    let client = files(
        &authority,
        dir.path(),
        "client",
        &Leaf::default(),
        &authority.pem(),
    );
    let client = open(client, Policy::default());
    drop(connected(&server, &client).await);
    replace(&own.key, &key).unwrap();
    assert!(server.reload().unwrap());
    assert_ne!(server.loaded(), before);
    drop(connected(&server, &client).await);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca").unwrap());
    let good = files(
        &authority,
        dir.path(),
        "good",
        &Leaf::default(),
        &authority.pem(),
    );
    let fail = |files: Files, policy: Policy| {
        let resolver = mainstay_transport::Resolver::system().unwrap();
        let opened = Tls::open(mainstay_transport::Side::Client, files, policy, resolver);
        opened.err().unwrap().to_string()
    };
    let missing = Files {
        cert: dir.path().join("nothing"),
        ..good.clone()
    };
    assert!(fail(missing, Policy::default()).contains("nothing"));
    let empty = dir.path().join("empty");
    replace(&empty, "").unwrap();
    let keyless = Files {
        key: empty,
        ..good.clone()
    };
    assert!(fail(keyless, Policy::default()).ends_with("holds no private key"));
    let strict = Policy {
        client_cert_auth: true,
        ..Policy::default()
    };
    let without_ca = Files {
        trusted_ca: None,
        ..good
    };
    assert!(fail(without_ca, strict).contains("no trusted CA"));
}

#[tokio::test]
async fn a_self_signed_certificate_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let files = self_signed(dir.path(), &["127.0.0.1".to_owned()], 1).unwrap();
    let pem = std::fs::read(&files.cert).unwrap();
    assert_eq!(self_signed(dir.path(), &[], 1).unwrap(), files);
    assert_eq!(std::fs::read(&files.cert).unwrap(), pem);
    let trusting = Policy {
        trust_any_server: true,
        ..Policy::default()
    };
    let side = open(files, trusting);
    let (accepted, dialled) = meet(&side, &side, "127.0.0.1").await;
    assert!(accepted.is_ok() && dialled.is_ok());
}
