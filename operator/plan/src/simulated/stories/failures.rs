//! Pods that die, volumes that are lost, data that is bad, stores that are full.

use crate::observed::{Alarm, AlarmKind};
use mainstay_operator_api::annotation;
use mainstay_operator_api::recovery::Repair;

use super::{assert_ready, assert_steps};
use crate::simulated::trials::running;

#[test]
fn a_lost_pod_is_nothing_to_do_about() {
    let mut world = running(3);
    world.pods.remove(&0);
    world.elect();
    world.pass();
    assert_eq!(world.condition("Degraded"), "True MemberUnavailable");
    assert_eq!(world.condition("Available"), "True QuorumServes");
    assert_steps(&mut world, &[]);
    assert_ready(&world);
}

#[test]
fn a_member_without_its_volume_is_replaced() {
    let mut world = running(3);
    world.lose_volume(1);
    assert_steps(
        &mut world,
        &[
            "note 0 1:Replacing 2",
            "remove the member",
            "note 0 1:Adding 2",
            // It has still the intent of the life that is over.
            "delete pod db-1",
            "add learner db-1",
            "note 0 1:Joining 2",
            "promote db-1",
            "note 0 1 2",
        ],
    );
    assert_ready(&world);
    assert_eq!(world.status.clone().unwrap().members[1].incarnation, 2);
}

#[test]
fn a_directory_that_is_emptied_is_a_lost_member_too() {
    let mut world = running(3);
    world.volumes.get_mut(&2).unwrap().data = None;
    world.pods.remove(&2);
    world.elect();
    assert_steps(
        &mut world,
        &[
            "note 0 1 2:Replacing",
            "remove the member",
            "delete volume 2",
            "delete pod db-2",
            "note 0 1 2:Adding",
            "add learner db-2",
            "note 0 1 2:Joining",
            "promote db-2",
            "note 0 1 2",
        ],
    );
    assert_ready(&world);
}

#[test]
fn a_cluster_of_one_that_loses_its_volume_says_so() {
    let mut world = running(1);
    world.lose_volume(0);
    assert_steps(&mut world, &[]);
    assert_eq!(world.condition("QuorumLost"), "True VolumesLost");
    assert!(world.message("QuorumLost").contains("Restore a backup"));
}

#[test]
fn corrupt_data_is_replaced_and_the_leader_moves_first() {
    let mut world = running(3);
    let id = world.part(0).unwrap();
    world.raft.as_mut().unwrap().alarms.insert(Alarm {
        member: id,
        kind: AlarmKind::Corrupt,
    });
    let steps = world.settle();
    assert_eq!(
        steps[..4],
        [
            "note 0:Replacing 1 2",
            "remove the member",
            "delete volume 0",
            "delete pod db-0"
        ],
        "{steps:#?}"
    );
    assert_ready(&world);
}

#[test]
fn who_decides_himself_is_told_how() {
    let mut world = running(3);
    world.spec.recovery.failed_member = Repair::Manual;
    let id = world.part(1).unwrap();
    world.raft.as_mut().unwrap().alarms.insert(Alarm {
        member: id,
        kind: AlarmKind::Corrupt,
    });
    assert_steps(&mut world, &[]);
    assert_eq!(world.condition("Degraded"), "True DataCorrupt");
    assert!(
        world
            .message("Degraded")
            .contains("mainstay.dev/replace-member: \"1:1\"")
    );
    world.annotate(annotation::REPLACE_MEMBER, "1:1");
    world.settle();
    assert_ready(&world);
    assert_eq!(
        world.kept.clone().unwrap().record.members[&1].incarnation,
        2
    );
}

#[test]
fn a_crashing_member_is_replaced_in_time_and_not_for_ever() {
    let mut world = running(3);
    world.pods.get_mut(&1).unwrap().crashing = true;
    assert_eq!(world.watch_for(500), Vec::<String>::new());
    assert_eq!(world.condition("Degraded"), "True MemberUnavailable");
    let steps = world.watch_for(300);
    assert_eq!(steps[0], "note 0 1:Replacing 2", "{steps:#?}");
    assert_ready(&world);
    for life in 2..4 {
        world.annotate(annotation::REPLACE_MEMBER, &format!("1:{life}"));
        world.settle();
        assert_ready(&world);
    }
    world.annotate(annotation::REPLACE_MEMBER, "1:4");
    assert_steps(&mut world, &[]);
    assert_eq!(world.condition("Progressing"), "False ReplacementsSpent");
    world.watch_for(3600);
    assert_ready(&world);
}

#[test]
fn a_member_whose_node_is_gone_is_replaced() {
    let mut world = running(3);
    let pod = world.pods.get_mut(&2).unwrap();
    (pod.node_gone, pod.running, pod.ready) = (true, false, false);
    world.elect();
    let steps = world.watch_for(900);
    assert!(steps.contains(&"delete pod db-2".to_owned()), "{steps:#?}");
    assert_ready(&world);
}

#[test]
fn a_full_store_is_compacted_and_the_alarm_lifted() {
    let mut world = running(3);
    let id = world.part(0).unwrap();
    let raft = world.raft.as_mut().unwrap();
    raft.in_use = world.spec.quota_bytes();
    raft.alarms.insert(Alarm {
        member: id,
        kind: AlarmKind::NoSpace,
    });
    assert_steps(&mut world, &["note 0 1 2", "compact", "disarm"]);
    assert_ready(&world);
}

#[test]
fn a_store_that_stays_full_is_reported() {
    let mut world = running(3);
    let id = world.part(0).unwrap();
    let raft = world.raft.as_mut().unwrap();
    raft.in_use = 3 * world.spec.quota_bytes();
    raft.alarms.insert(Alarm {
        member: id,
        kind: AlarmKind::NoSpace,
    });
    assert_steps(&mut world, &["note 0 1 2", "compact"]);
    assert_eq!(world.condition("Degraded"), "True SpaceExhausted");
    world.spec.recovery.no_space = Repair::Manual;
    assert_eq!(world.watch_for(900), Vec::<String>::new());
}
