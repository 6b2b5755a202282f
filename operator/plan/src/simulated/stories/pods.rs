//! New templates, new images, larger volumes.

use mainstay_operator_api::MainstayClusterSpec;

use super::{assert_ready, assert_steps};
use crate::simulated::trials::running;
use crate::simulated::world::World;
use crate::{Step, plan};

#[test]
fn followers_are_renewed_from_the_last_and_the_leader_at_the_end() {
    let mut world = running(3);
    world.spec.version = "0.1.9".to_owned();
    assert_steps(
        &mut world,
        &[
            "apply the StatefulSet",
            "delete pod db-2",
            "delete pod db-1",
            "move the leader from db-0 to db-2",
            "delete pod db-0",
            "note 0 1 2",
        ],
    );
    assert_ready(&world);
    assert_eq!(
        world.status.clone().unwrap().version.as_deref(),
        Some("0.1.9")
    );
}

#[test]
fn a_new_spec_is_not_fulfilled_before_anything_was_done() {
    let mut world = running(3);
    world.spec.version = "0.1.9".to_owned();
    world.cluster.generation = 2;
    let first = world.pass();
    assert!(matches!(first.step, Some(Step::Apply(_))));
    assert_eq!(first.status.observed_generation, Some(1));
    // Kubernetes has not looked at the template: that no pod is outdated means nothing.
    let mut seen = world.observe(&world);
    seen.workload.as_mut().unwrap().update_revision.clear();
    assert_eq!(plan(&seen).status.observed_generation, Some(1));
    world.settle();
    assert_ready(&world);
    let status = world.status.clone().unwrap();
    assert_eq!(status.observed_generation, Some(2));
    assert!(
        status
            .conditions
            .iter()
            .all(|condition| condition.observed_generation == Some(2))
    );
}

#[test]
fn nothing_is_called_ready_between_two_steps_that_belong_together() {
    let mut world = running(3);
    world.spec.replicas = 5;
    world.cluster.generation = 2;
    let mut passes = 0;
    while world.raft.as_ref().unwrap().list.len() < 5 {
        world.pass();
        world.tick();
        let status = world.status.clone().unwrap();
        let ready = world.condition("Ready").starts_with("True");
        let current = status.observed_generation == Some(2);
        assert!(!(ready && current), "pass {passes}: {status:?}");
        passes += 1;
        assert!(passes < 500, "it does not grow");
    }
    world.settle();
    assert_ready(&world);
}

#[test]
fn small_clusters_are_renewed_too() {
    for replicas in [1, 2] {
        let mut world = running(replicas);
        world.spec.version = "0.1.9".to_owned();
        world.settle();
        assert_ready(&world);
        assert!(
            world
                .pods
                .values()
                .all(|pod| pod.revision.starts_with("0.1.9"))
        );
    }
}

#[test]
fn a_broken_version_stops_at_one_pod_and_is_put_back_from_there() {
    let mut world = running(3);
    world.broken.insert("0.2.0".to_owned());
    world.spec.version = "0.2.0".to_owned();
    assert_steps(&mut world, &["apply the StatefulSet", "delete pod db-2"]);
    assert_eq!(world.condition("Available"), "True QuorumServes");
    assert_eq!(world.condition("Degraded"), "True ImageUnavailable");
    assert_eq!(world.watch_for(700), Vec::<String>::new());
    assert_eq!(world.condition("Progressing"), "False RolloutStalled");
    world.spec.version = env!("CARGO_PKG_VERSION").to_owned();
    assert_steps(&mut world, &["apply the StatefulSet", "delete pod db-2"]);
    assert_ready(&world);
}

#[test]
fn a_cluster_that_could_not_be_formed_is_formed_once_the_image_is_mended() {
    let spec = MainstayClusterSpec {
        version: "none".to_owned(),
        ..MainstayClusterSpec::default()
    };
    let mut world = World::new(spec);
    world.broken.insert("none".to_owned());
    world.settle();
    assert_eq!(world.condition("Degraded"), "True ImageUnavailable");
    world.spec.version = "0.1.0".to_owned();
    world.settle();
    assert_ready(&world);
    assert_eq!(world.formed, 1);
}

#[test]
fn versions_follow_one_by_one() {
    let mut world = running(3);
    world.spec.version = "0.3.0".to_owned();
    assert_steps(&mut world, &[]);
    assert_eq!(world.condition("Degraded"), "True VersionRefused");
    assert!(
        world
            .message("Degraded")
            .contains("minor versions follow one by one")
    );
    world.spec.version = "0.2.0".to_owned();
    world.settle();
    assert_ready(&world);
    world.spec.version = "0.1.0".to_owned();
    assert_steps(&mut world, &[]);
    assert_eq!(world.condition("Degraded"), "True VersionRefused");
}

#[test]
fn volumes_grow_in_place() {
    let mut world = running(3);
    world.spec.storage.size = "16Gi".to_owned();
    assert_steps(
        &mut world,
        &[
            "grow volume 0",
            "grow volume 1",
            "grow volume 2",
            "make the StatefulSet anew around its pods",
            "apply the StatefulSet",
        ],
    );
    assert_ready(&world);
    assert!(
        world
            .volumes
            .values()
            .all(|volume| volume.request == 16 << 30)
    );
    assert_eq!(world.workload.clone().unwrap().storage_request, 16 << 30);
}

#[test]
fn hands_on_the_statefulset_are_undone() {
    let mut world = running(3);
    world.workload.as_mut().unwrap().replicas = 1;
    assert_steps(&mut world, &["scale to 3 pods"]);
    assert_ready(&world);
    world.workload.as_mut().unwrap().replicas = 5;
    assert_steps(&mut world, &["scale to 3 pods"]);
    assert_eq!(world.pods.len(), 3);
}

#[test]
fn a_pod_that_an_old_cache_shows_as_down_is_not_stopped() {
    let mut world = running(3);
    world.blocked.insert(0);
    world.pods.remove(&0);
    world.tick();
    world.spec.version = "0.1.9".to_owned();
    world.pass();
    let mut old = world.clone();
    old.pods.get_mut(&0).unwrap().revision = "older".to_owned();
    world.pods = old.pods.clone();
    world.blocked.clear();
    world.tick();
    world.tick();
    assert!(world.pods[&0].ready);
    // Now another one falls away, and the cache still shows the first one as waiting.
    world.lose_volume(1);
    world.tick();
    let plan = world.pass_over(&old, true);
    assert_eq!(plan.step, None, "{}", world.message("Progressing"));
}

#[test]
fn a_class_that_refuses_growth_holds_up_nothing_else() {
    let mut world = running(3);
    world.rigid = true;
    world.spec.storage.size = "16Gi".to_owned();
    world.spec.version = "0.1.9".to_owned();
    world.spec.replicas = 4;
    world.watch_for(1200);
    assert_eq!(world.condition("Degraded"), "True GrowthRefused");
    let status = world.status.clone().unwrap();
    assert_eq!(status.version.as_deref(), Some("0.1.9"));
    assert_eq!(status.ready.as_deref(), Some("4/4"));
    world.rigid = false;
    world.settle();
    assert_ready(&world);
    let volumes = world.volumes.values();
    assert!(volumes.into_iter().all(|volume| volume.request == 16 << 30));
}
