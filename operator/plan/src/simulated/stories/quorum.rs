//! Clusters that cannot be reached, or have lost their quorum.

use mainstay_operator_api::annotation;
use mainstay_operator_api::recovery::Repair;

use super::{assert_ready, assert_steps};
use crate::simulated::trials::running;
use crate::simulated::world::World;

fn without_pods(mut world: World, ordinals: &[u32]) -> World {
    for ordinal in ordinals {
        world.blocked.insert(*ordinal);
        world.pods.remove(ordinal);
    }
    world.elect();
    world.readiness();
    world
}

#[test]
fn nothing_is_changed_while_a_majority_is_down() {
    let mut world = without_pods(running(3), &[0, 1]);
    world.spec.replicas = 5;
    world.spec.storage.size = "16Gi".to_owned();
    assert_steps(&mut world, &[]);
    assert_eq!(world.condition("QuorumLost"), "True PodsDown");
    assert_eq!(world.condition("Available"), "False PodsDown");
    assert!(
        world
            .message("QuorumLost")
            .contains("comes back with its pods")
    );
    world.spec.replicas = 3;
    world.spec.storage.size = "8Gi".to_owned();
    world.blocked.clear();
    assert_steps(&mut world, &[]);
    assert_ready(&world);
}

#[test]
fn what_cannot_be_seen_is_unknown() {
    let mut world = running(3);
    world.reachable = false;
    world.spec.replicas = 1;
    assert_steps(&mut world, &[]);
    assert_eq!(world.condition("Available"), "Unknown StateUnknown");
    assert_eq!(world.condition("Ready"), "Unknown StateUnknown");
    assert!(
        world
            .message("Available")
            .contains("3 pods are ready, but no member answers")
    );
    world.reachable = true;
    world.settle();
    assert_ready(&world);
}

#[test]
fn lost_volumes_wait_for_a_person() {
    let mut world = running(3);
    world.lose_volume(0);
    world.lose_volume(2);
    assert_steps(&mut world, &[]);
    assert_eq!(world.condition("QuorumLost"), "True VolumesLost");
    world.annotate(annotation::RECOVER_QUORUM, "7");
    assert_steps(&mut world, &[]);
    assert_eq!(world.condition("Progressing"), "False RecoveryRefused");
    world.annotate(annotation::RECOVER_QUORUM, "0");
    let steps = world.settle();
    let expected = [
        "note 0 1 2 recovery Fencing None",
        "tell pods [0, 1, 2]",
        "note 0:Held 1:Bootstrapping 2:Held recovery Forming Some(1)",
        "note 0:Held 1 2:Held",
    ];
    assert_eq!(steps[..4], expected, "{steps:#?}");
    assert_ready(&world);
    let status = world.status.clone().unwrap();
    assert_eq!((status.recoveries, status.members.len()), (1, 3));
    // The annotation stays, and never acts again.
    assert_steps(&mut world, &[]);
}

#[test]
fn a_wish_for_a_recovery_does_not_lie_in_wait() {
    let mut world = running(3);
    world.annotate(annotation::RECOVER_QUORUM, "0");
    assert_steps(&mut world, &["note 0 1 2"]);
    let mut world = without_pods(world, &[1, 2]);
    assert_steps(&mut world, &[]);
    assert_eq!(world.condition("QuorumLost"), "True PodsDown");
}

#[test]
fn the_survivor_may_be_named() {
    let mut world = running(3);
    world.lose_volume(0);
    world.blocked.insert(1);
    world.pods.remove(&1);
    world.elect();
    world.annotate(annotation::RECOVER_QUORUM, "0:2");
    world.settle();
    let record = world.kept.clone().unwrap().record;
    assert_eq!(record.members[&2].incarnation, 2);
    world.blocked.clear();
    world.settle();
    assert_ready(&world);
}

#[test]
fn the_last_one_left_needs_no_naming_and_one_of_several_does() {
    let mut world = running(3);
    world.mute = true;
    world.lose_volume(0);
    world.lose_volume(2);
    world.settle();
    world.annotate(annotation::RECOVER_QUORUM, "0");
    world.settle();
    assert_ready(&world);

    let mut world = running(5);
    world.mute = true;
    for ordinal in 0..3 {
        world.lose_volume(ordinal);
    }
    world.settle();
    world.annotate(annotation::RECOVER_QUORUM, "0");
    world.settle();
    assert_eq!(world.condition("Progressing"), "False RecoveryRefused");
    assert!(world.message("Progressing").contains("\"1:<ordinal>\""));
    world.annotate(annotation::RECOVER_QUORUM, "1:4");
    world.settle();
    assert_ready(&world);
}

#[test]
fn a_recovery_may_be_left_to_the_operator() {
    let mut world = running(3);
    world.spec.recovery.quorum_loss = Repair::Automatic;
    world.lose_volume(1);
    world.lose_volume(2);
    assert_steps(&mut world, &[]);
    let steps = world.watch_for(900);
    assert_eq!(steps[0], "note 0 1 2 recovery Fencing None", "{steps:#?}");
    world.settle();
    assert_ready(&world);
}

#[test]
fn pods_that_are_down_are_never_recovered_without_a_wish() {
    let mut world = running(3);
    world.spec.recovery.quorum_loss = Repair::Automatic;
    let mut world = without_pods(world, &[1, 2]);
    assert_eq!(world.watch_for(3600), Vec::<String>::new());
}
