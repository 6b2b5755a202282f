//! Fan-out of one key to ten thousand watches: publishing must not cost a piece of work a watch.

use std::time::{Duration, Instant};

use crate::support::{Client, World, key, options};

const STREAMS: usize = 100;
const WATCHES: usize = 100;

#[tokio::test]
async fn publishing_to_many_watches_is_a_note_to_each_stream() {
    let mut world = World::new(options());
    let mut clients = Vec::new();
    for _ in 0..STREAMS {
        let mut client = Client::new(&world);
        for _ in 0..WATCHES {
            client.create(key("k")).await;
            assert!(client.next().await.created);
        }
        clients.push(client);
    }
    assert_eq!(world.hub.stats().watchers, (STREAMS * WATCHES) as u64);
    let mut publishing = Duration::ZERO;
    let mut pulling = Duration::ZERO;
    let rounds = 20;
    for _ in 0..rounds {
        let begin = Instant::now();
        world.write(&[("k", Some("value"))]);
        publishing += begin.elapsed();
        let begin = Instant::now();
        for client in &mut clients {
            for _ in 0..WATCHES {
                assert_eq!(client.next().await.events.len(), 1);
            }
        }
        pulling += begin.elapsed();
    }
    let events = (rounds * STREAMS * WATCHES) as u32;
    println!(
        "commit and publish {:?} each, pull {:?} an event",
        publishing / rounds as u32,
        pulling / events
    );
    assert_eq!(world.hub.stats().events_total, u64::from(events));
    // Both are measured here and now: ten thousand pieces of work would take about as long as
    // pulling ten thousand responses, a commit and a hundred notes take a fraction of that.
    assert!(publishing * 2 < pulling, "{publishing:?} {pulling:?}");
}
