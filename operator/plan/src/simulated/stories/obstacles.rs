//! What stands in the way of a new cluster, and who else meddles with a running one.

use crate::observed::Member;
use mainstay_operator_api::MainstayClusterSpec;

use super::{assert_ready, assert_steps};
use crate::simulated::trials::running;
use crate::simulated::world::{SimVolume, World};

/// Certificates and Services may be made; pods may not.
fn assert_blocked(world: &mut World, reason: &str, words: &str) {
    let steps = world.settle();
    assert!(
        world.workload.is_none() && !steps.iter().any(|step| step.starts_with("note")),
        "{steps:#?}"
    );
    assert_eq!(world.condition("Progressing"), format!("False {reason}"));
    assert!(
        world.message("Degraded").contains(words),
        "{}",
        world.message("Degraded")
    );
}

#[test]
fn volumes_of_a_former_cluster_are_not_begun_on() {
    let mut world = World::new(MainstayClusterSpec::default());
    world.volumes.insert(
        1,
        SimVolume {
            uid: "old".to_owned(),
            ..SimVolume::default()
        },
    );
    assert_blocked(&mut world, "VolumesFound", "data-db-N (N = 1)");
    world.volumes.clear();
    world.settle();
    assert_ready(&world);
}

#[test]
fn a_record_of_a_former_cluster_is_not_taken() {
    let former = running(3);
    let mut world = World::new(MainstayClusterSpec::default());
    world.cluster.uid = "cluster-2".to_owned();
    world.kept = former.kept;
    assert_blocked(&mut world, "RecordForeign", "former cluster");
    world.kept = None;
    world.settle();
    assert_ready(&world);
}

#[test]
fn a_cluster_whose_record_is_gone_is_not_formed_again() {
    let mut world = running(3);
    let record = world.kept.take();
    assert_steps(&mut world, &[]);
    assert_eq!(world.condition("Progressing"), "False RecordLost");
    world.workload = None;
    world.volumes.clear();
    world.pods.clear();
    world.parts.clear();
    let steps = world.settle();
    assert!(
        !steps.iter().any(|step| step.starts_with("note")),
        "{steps:#?}"
    );
    world.kept = record;
    world.settle();
    // It is a cluster without volumes now, and says so.
    assert_eq!(world.condition("QuorumLost"), "True VolumesLost");
}

#[test]
fn a_member_that_nobody_here_has_added_stops_all_change() {
    let mut world = running(3);
    let raft = world.raft.as_mut().unwrap();
    raft.list.push(Member {
        id: 0x77,
        peer_urls: vec!["https://elsewhere:2380".to_owned()],
        learner: true,
        ..Member::default()
    });
    world.spec.replicas = 5;
    world.spec.version = "0.1.9".to_owned();
    assert_steps(&mut world, &["apply the StatefulSet"]);
    assert_eq!(world.condition("Degraded"), "True UnknownMember");
    assert!(world.message("Degraded").contains("https://elsewhere:2380"));
    world
        .raft
        .as_mut()
        .unwrap()
        .list
        .retain(|member| member.id != 0x77);
    world.settle();
    assert_ready(&world);
}
