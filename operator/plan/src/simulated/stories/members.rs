//! More members, fewer members.

use mainstay_operator_api::annotation;
use mainstay_operator_api::storage::Retention;

use super::{assert_ready, assert_steps};
use crate::simulated::trials::running;

const UP: &[&str] = &[
    "note 0 1 2 3:Adding",
    "add learner db-3",
    "note 0 1 2 3:Joining",
    "scale to 4 pods",
    "promote db-3",
    "note 0 1 2 3",
];

const DOWN: &[&str] = &[
    "note 0 1 2 3:Leaving",
    "remove the member",
    "note 0 1 2 3:Removed",
    "scale to 3 pods",
    "delete volume 3",
    "note 0 1 2",
];

#[test]
fn a_member_joins_as_a_learner_and_leaves_the_list_first() {
    let mut world = running(3);
    world.spec.replicas = 4;
    assert_steps(&mut world, UP);
    assert_ready(&world);
    world.spec.replicas = 3;
    assert_steps(&mut world, DOWN);
    assert_ready(&world);
    assert_eq!(world.volumes.len(), 3);
}

#[test]
fn a_cluster_goes_up_and_down_and_up() {
    let mut world = running(3);
    for replicas in [5, 3, 1, 3] {
        world.spec.replicas = replicas;
        world.settle();
        assert_ready(&world);
        assert_eq!(world.raft.clone().unwrap().list.len(), replicas as usize);
    }
    // The third life of the place: two were given up.
    assert_eq!(
        world.kept.clone().unwrap().record.members[&2].incarnation,
        2
    );
}

#[test]
fn the_leader_moves_before_its_member_goes() {
    let mut world = running(4);
    let last = world.part(3).unwrap();
    world.raft.as_mut().unwrap().leader = last;
    world.spec.replicas = 3;
    let mut expected = DOWN.to_vec();
    expected.insert(1, "move the leader from db-3 to db-0");
    assert_steps(&mut world, &expected);
}

#[test]
fn a_volume_that_is_kept_is_no_trap_for_the_next_member() {
    let mut world = running(3);
    world.spec.storage.when_scaled = Retention::Retain;
    world.spec.replicas = 1;
    world.settle();
    assert_eq!(world.volumes.len(), 3);
    world.spec.replicas = 3;
    world.settle();
    assert_ready(&world);
}

#[test]
fn one_who_changes_his_mind_gets_the_learner_removed() {
    let mut world = running(3);
    world.blocked.insert(3);
    world.spec.replicas = 4;
    assert_eq!(world.settle(), &UP[..4]);
    assert_eq!(world.condition("Progressing"), "True ScalingUp");
    assert_eq!(world.watch_for(700), Vec::<String>::new());
    assert_eq!(world.condition("Progressing"), "False MemberStalled");
    assert_eq!(world.condition("Degraded"), "True MemberStalled");
    assert!(world.message("Progressing").contains("Unschedulable"));
    world.spec.replicas = 3;
    assert_steps(
        &mut world,
        &[
            "note 0 1 2 3:Leaving",
            "remove the member",
            "note 0 1 2 3:Removed",
            "scale to 3 pods",
            "delete volume 3",
            "note 0 1 2",
        ],
    );
    assert_ready(&world);
}

#[test]
fn a_learner_that_lags_does_not_vote() {
    let mut world = running(3);
    world.slow = true;
    world.spec.replicas = 4;
    assert_eq!(world.settle(), &UP[..4]);
    assert!(world.message("Progressing").contains("entries behind"));
    world.slow = false;
    assert_eq!(world.settle(), &UP[4..]);
}

#[test]
fn members_do_not_go_while_others_are_down() {
    let mut world = running(3);
    world.blocked.insert(1);
    world.pods.remove(&1);
    world.elect();
    world.spec.replicas = 2;
    // 0 and 2 serve; without 2 only one of two would.
    assert_steps(&mut world, &[]);
    assert_eq!(world.condition("Progressing"), "False WaitingForMembers");
    world.blocked.clear();
    world.settle();
    assert_ready(&world);
}

#[test]
fn the_leadership_moves_on_request_once() {
    let mut world = running(3);
    world.annotate(annotation::MOVE_LEADER, "db-2");
    assert_steps(
        &mut world,
        &["move the leader from db-0 to db-2", "note 0 1 2"],
    );
    let first = world.part(0).unwrap();
    world.raft.as_mut().unwrap().leader = first;
    assert_steps(&mut world, &[]);
    world.annotate(annotation::MOVE_LEADER, "db-1/again");
    assert_steps(
        &mut world,
        &["move the leader from db-0 to db-1", "note 0 1 2"],
    );
    world.annotate(annotation::MOVE_LEADER, "db-9");
    assert_steps(&mut world, &["note 0 1 2"]);
}
