//! Certificates and CAs.

use crate::Step;
use crate::observed::{Leaf, Plane};
use crate::step::TlsStep;
use mainstay_operator_api::annotation;

use super::{assert_ready, assert_steps};
use crate::simulated::trials::running;

const DAY: i64 = 24 * 3600;

#[test]
fn certificates_are_renewed_before_they_expire() {
    let mut world = running(3);
    world.now = world.later(59 * DAY);
    assert_steps(&mut world, &[]);
    world.now = world.later(DAY);
    assert_steps(
        &mut world,
        &[
            "IssueLeaf(Server)",
            "IssueLeaf(Peer)",
            "IssueLeaf(Client)",
            "IssueLeaf(Operator)",
        ],
    );
    assert_ready(&world);
}

#[test]
fn names_that_are_missing_are_added() {
    let mut world = running(3);
    world.tls.leaves.get_mut(&Leaf::Server).unwrap().lacks_names = true;
    assert_steps(&mut world, &["IssueLeaf(Server)"]);
}

#[test]
fn a_ca_is_exchanged_with_overlap() {
    let mut world = running(3);
    let old = world.tls.cas[&Plane::Peer].signing.fingerprint.clone();
    world.expire_ca(Plane::Peer);
    assert_steps(
        &mut world,
        &[
            "note 0 1 2 Peer CA Trusting",
            "StageCa(Peer)",
            "Distribute(Peer)",
            "tell pods [0, 1, 2]",
            "note 0 1 2 Peer CA Reissuing",
            "SwitchCa(Peer)",
            "IssueLeaf(Peer)",
            "tell pods [0, 1, 2]",
            "note 0 1 2 Peer CA Dropping",
            "DropCa(Peer)",
            "Distribute(Peer)",
            "tell pods [0, 1, 2]",
            "note 0 1 2",
        ],
    );
    assert_ready(&world);
    let authority = &world.tls.cas[&Plane::Peer];
    assert!(authority.signing.fingerprint != old && authority.bundle.len() == 1);
}

#[test]
fn a_ca_waits_for_a_member_that_has_not_loaded_it() {
    let mut world = running(3);
    world.expire_ca(Plane::Client);
    let stage = Some(Step::Issue(TlsStep::StageCa(Plane::Client)));
    while world.pass().step != stage {}
    // A member falls away before it has told that it trusts both.
    world.blocked.insert(1);
    world.pods.remove(&1);
    world.elect();
    let before = world.tls.cas[&Plane::Client].signing.fingerprint.clone();
    world.settle();
    assert_eq!(world.tls.cas[&Plane::Client].signing.fingerprint, before);
    world.blocked.clear();
    world.settle();
    assert_ready(&world);
    assert_ne!(world.tls.cas[&Plane::Client].signing.fingerprint, before);
}

#[test]
fn both_cas_are_exchanged_on_request_once() {
    let mut world = running(3);
    let before = world.tls.clone();
    world.annotate(annotation::ROTATE_CA, "today");
    world.settle();
    for plane in Plane::ALL {
        assert_ne!(world.tls.cas[&plane].signing, before.cas[&plane].signing);
    }
    assert_ready(&world);
    assert_steps(&mut world, &[]);
}

#[test]
fn certificates_are_issued_anew_on_request_once() {
    let mut world = running(3);
    world.annotate(annotation::ROTATE_CERTIFICATES, "today");
    assert_steps(
        &mut world,
        &[
            "note 0 1 2",
            "IssueLeaf(Server)",
            "IssueLeaf(Peer)",
            "IssueLeaf(Client)",
            "IssueLeaf(Operator)",
            "note 0 1 2",
        ],
    );
    assert_steps(&mut world, &[]);
}

#[test]
fn a_ca_that_was_deleted_is_followed_with_overlap() {
    let mut world = running(3);
    world.tls.cas.remove(&Plane::Peer);
    let steps = world.settle();
    assert_eq!(
        steps[..3],
        [
            "create the Peer CA",
            "Distribute(Peer)",
            "note 0 1 2 Peer CA Trusting"
        ],
        "{steps:#?}"
    );
    assert_ready(&world);
    let authority = &world.tls.cas[&Plane::Peer];
    assert_eq!(
        world.tls.leaves[&Leaf::Peer].issuer,
        authority.signing.fingerprint
    );
    assert_eq!(authority.bundle.len(), 1);
}

#[test]
fn a_sleeping_cluster_exchanges_its_ca_too() {
    let mut world = running(3);
    world.spec.hibernated = true;
    world.settle();
    world.expire_ca(Plane::Peer);
    let steps = world.settle();
    assert!(steps.contains(&"SwitchCa(Peer)".to_owned()), "{steps:#?}");
    world.spec.hibernated = false;
    world.settle();
    assert_ready(&world);
}
