//! Each story as a transcript: what changes, the steps that follow, where it ends.

mod failures;
mod life;
mod members;
mod obstacles;
mod pods;
mod quorum;
mod security;

use crate::simulated::world::World;

/// The steps, all of them, until nothing is left to do.
fn assert_steps(world: &mut World, expected: &[&str]) {
    let steps = world.settle();
    assert_eq!(
        steps,
        expected,
        "\n{steps:#?}\n{}",
        world.message("Progressing")
    );
}

fn assert_ready(world: &World) {
    assert_eq!(
        world.condition("Ready"),
        "True AsAsked",
        "{}",
        world.message("Ready")
    );
}
