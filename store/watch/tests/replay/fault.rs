//! The planted fault is a real one: progress overtakes events, and a client can tell.

use crate::support::{Client, World, key, options, revision};

#[tokio::test]
async fn progress_planted_before_events_overtakes_them() {
    let mut options = options();
    options.fault_progress_first = true;
    let mut world = World::new(options);
    let mut client = Client::new(&world);
    client.create(key("a")).await;
    assert!(client.next().await.created);
    world.write(&[("a", Some("1"))]);
    client.control.progress().await.expect("open");
    let progress = client.next().await;
    assert_eq!((progress.watch_id, revision(&progress)), (-1, 2));
    assert_eq!(
        client.next().await.events.len(),
        1,
        "which the progress had promised before"
    );
}
