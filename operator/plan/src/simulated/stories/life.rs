//! A cluster from its first day to its last.

use crate::Step;
use crate::observed::{AuthView, Observed, Probe, RestoreView};
use mainstay_operator_api::MainstayClusterSpec;
use mainstay_operator_api::cluster::AuthSpec;
use mainstay_operator_api::storage::Retention;

use super::{assert_ready, assert_steps};
use crate::simulated::trials::running;
use crate::simulated::world::World;

const CERTIFICATES: &[&str] = &[
    "add the finalizer",
    "create the Client CA",
    "create the Peer CA",
    "IssueLeaf(Server)",
    "IssueLeaf(Peer)",
    "IssueLeaf(Client)",
    "IssueLeaf(Operator)",
    "apply 4 objects",
];

fn after_certificates(steps: &[&'static str]) -> Vec<&'static str> {
    CERTIFICATES.iter().chain(steps).copied().collect()
}

#[test]
fn three_members_form_a_cluster_under_the_latch() {
    let mut world = World::new(MainstayClusterSpec::default());
    assert_steps(
        &mut world,
        &after_certificates(&[
            "note 0:Bootstrapping 1:Bootstrapping 2:Bootstrapping",
            "apply the StatefulSet",
            "note 0 1 2",
            // Later the ledger: the version that all members run.
            "note 0 1 2",
        ]),
    );
    assert_ready(&world);
    assert_eq!(world.formed, 1);
    let status = world.status.clone().unwrap();
    assert_eq!(status.ready.as_deref(), Some("3/3"));
    assert_eq!(status.leader.as_deref(), Some("db-0"));
    assert_eq!(status.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_latecomer_takes_the_seat_it_was_given() {
    let mut world = World::new(MainstayClusterSpec::default());
    world.blocked.insert(2);
    world.settle();
    assert_eq!(world.condition("Available"), "True QuorumServes");
    assert_eq!(world.condition("Degraded"), "True MemberUnavailable");
    world.blocked.clear();
    assert_steps(&mut world, &["note 0 1 2", "note 0 1 2"]);
    assert_ready(&world);
}

#[test]
fn a_cluster_begins_with_a_backup_and_grows() {
    let mut world = World::new(MainstayClusterSpec::default());
    world.restore = RestoreView::Missing("backup nightly is not complete".to_owned());
    world.settle();
    assert_eq!(world.condition("Progressing"), "False BackupMissing");
    world.restore = RestoreView::Ready("nightly".to_owned());
    assert_steps(
        &mut world,
        &[
            "note 0:Bootstrapping",
            "apply the StatefulSet",
            "note 0",
            "note 0",
            "note 0 1:Adding",
            "add learner db-1",
            "note 0 1:Joining",
            "scale to 2 pods",
            "promote db-1",
            "note 0 1",
            "note 0 1 2:Adding",
            "add learner db-2",
            "note 0 1 2:Joining",
            "scale to 3 pods",
            "promote db-2",
            "note 0 1 2",
        ],
    );
    assert_ready(&world);
    let record = world.kept.clone().unwrap().record;
    assert_eq!((record.restoring(), record.lives[&0]), (None, 1));
    // What the first member held is learnt from the others now; the backup is not asked again.
    world.restore = RestoreView::Missing("there is no backup nightly".to_owned());
    world.lose_volume(0);
    world.settle();
    assert_ready(&world);
    assert_eq!(world.formed, 1);
    assert_eq!(world.kept.clone().unwrap().record.lives[&0], 2);
}

#[test]
fn nothing_is_ready_while_a_new_template_is_not_taken_up() {
    let world = running(3);
    let mut observed = world.observe(&world);
    let ready = |observed: &Observed| {
        let mut conditions = crate::plan(observed).status.conditions.into_iter();
        conditions
            .find(|known| known.type_ == "Ready")
            .unwrap()
            .status
    };
    assert_eq!(ready(&observed), "True");
    observed.workload.as_mut().unwrap().update_revision.clear();
    assert_eq!(ready(&observed), "False");
}

#[test]
fn a_snapshot_that_cannot_be_restored_is_told_and_waited_for() {
    let mut world = World::new(MainstayClusterSpec::default());
    world.restore = RestoreView::Ready("nightly".to_owned());
    world.blocked.insert(0);
    world.settle();
    let mut observed = world.observe(&world);
    let probe = Probe {
        reason: Some("snapshot /a.db cannot be restored: checksum".to_owned()),
        ..Probe::default()
    };
    observed.probes.insert(0, probe);
    let plan = crate::plan(&observed);
    assert_eq!(plan.step, None);
    let mut conditions = plan.status.conditions.into_iter();
    let degraded = conditions.find(|known| known.type_ == "Degraded").unwrap();
    assert_eq!(degraded.reason, "RestoreFailed");
    assert!(
        degraded.message.contains("delete the pod"),
        "{}",
        degraded.message
    );
    world.blocked.clear();
    world.settle();
    assert_ready(&world);
}

#[test]
fn a_cluster_sleeps_and_wakes_as_the_same() {
    let mut world = running(3);
    let id = world.raft.clone().unwrap().cluster;
    world.spec.hibernated = true;
    assert_steps(&mut world, &["note 0 1 2 hibernated", "scale to 0 pods"]);
    assert_eq!(world.condition("Available"), "False Hibernated");
    assert_eq!(world.condition("QuorumLost"), "False AsAsked");
    assert!(world.pods.is_empty() && world.volumes.len() == 3);
    world.spec.hibernated = false;
    assert_steps(&mut world, &["note 0 1 2", "scale to 3 pods"]);
    assert_ready(&world);
    assert_eq!((world.raft.clone().unwrap().cluster, world.formed), (id, 1));
}

#[test]
fn a_cluster_may_be_born_asleep() {
    let spec = MainstayClusterSpec {
        hibernated: true,
        ..MainstayClusterSpec::default()
    };
    let mut world = World::new(spec);
    assert_steps(&mut world, &["add the finalizer"]);
    assert_eq!(world.condition("Available"), "False Hibernated");
    world.spec.hibernated = false;
    world.settle();
    assert_ready(&world);
}

#[test]
fn a_paused_cluster_is_only_reported() {
    let mut world = running(3);
    world.spec.paused = true;
    world.spec.replicas = 5;
    assert_steps(&mut world, &[]);
    assert_eq!(world.condition("Progressing"), "False Paused");
    assert_eq!(world.condition("Available"), "True QuorumServes");
    world.spec.paused = false;
    assert_eq!(world.settle().len(), 12);
    assert_ready(&world);
}

#[test]
fn a_deleted_cluster_keeps_its_volumes() {
    let mut world = running(3);
    world.cluster.deleting = true;
    assert_steps(
        &mut world,
        &["delete the StatefulSet", "remove the finalizer"],
    );
    assert_eq!(world.volumes.len(), 3);
}

#[test]
fn a_deleted_cluster_takes_its_volumes_along() {
    let mut world = running(3);
    world.spec.storage.when_deleted = Retention::Delete;
    world.cluster.deleting = true;
    world.spec.paused = true;
    assert_steps(
        &mut world,
        &[
            "delete the StatefulSet",
            "delete volume 0",
            "delete volume 1",
            "delete volume 2",
            "remove the finalizer",
        ],
    );
    assert!(world.volumes.is_empty() && world.pods.is_empty());
}

#[test]
fn authentication_is_switched_on() {
    let mut world = running(3);
    world.spec.auth = Some(AuthSpec {
        root_secret: "root".to_owned(),
    });
    assert_steps(&mut world, &["enable authentication", "note 0 1 2"]);
    assert_eq!(world.auth, AuthView::Enabled);
    assert_ready(&world);
}

#[test]
fn nothing_is_ready_before_authentication_is_on() {
    let mut world = running(3);
    world.spec.auth = Some(AuthSpec {
        root_secret: "root".to_owned(),
    });
    while world.pass().step != Some(Step::EnableAuth) {}
    assert_eq!(world.condition("Ready"), "False WaitingForMembers");
    world.settle();
    assert_ready(&world);
}

#[test]
fn the_password_of_root_follows_its_secret() {
    let mut world = running(3);
    world.spec.auth = Some(AuthSpec {
        root_secret: "root".to_owned(),
    });
    world.settle();
    world.secret = 2;
    assert_steps(&mut world, &["set the password of root", "note 0 1 2"]);
    assert_eq!(world.roots, 2);
    assert_steps(&mut world, &[]);
    assert_ready(&world);
}
