//! Streams on several threads while another one commits: nothing is lost, doubled or reordered,
//! whatever happens between a publication and a stream that fetches it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use mainstay_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use mainstay_watch::Hub;
use prost::Message;

use crate::support::{World, all_from, options, revision};

const COMMITS: i64 = 2000;
const STREAMS: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_race_with_publications() {
    let mut options = options();
    // Small enough that streams fall out of it again and again.
    options.ring_bytes_max = 6000;
    let mut world = World::new(options);
    let hub = world.hub.clone();
    let last = Arc::new(AtomicI64::new(0));
    let streams: Vec<_> = (0..STREAMS)
        .map(|seed| tokio::spawn(follow(hub.clone(), seed, last.clone())))
        .collect();
    let publisher = std::thread::spawn(move || {
        let mut revision = 0;
        for commit in 0..COMMITS {
            let writes = [("a", Some("1")), ("b", Some("2")), ("c", Some("3"))];
            let count = 1 + (commit % 3) as usize;
            revision = world.write(writes.get(..count).unwrap_or(&writes));
        }
        last.store(revision, Ordering::Release);
        world
    });
    for stream in streams {
        stream
            .await
            .expect("a stream that finds everything in order");
    }
    let world = publisher.join().expect("the publisher");
    let stats = world.hub.stats();
    assert_eq!(
        (stats.streams, stats.watchers, stats.slow_watchers),
        (0, 0, 0)
    );
    assert_eq!(stats.pending_events, 0);
}

/// Watches everything; now and then begins anew, from now or from before.
async fn follow(hub: Hub, seed: u64, last: Arc<AtomicI64>) {
    let (control, mut stream) = hub.open_stream();
    let mut turn = seed;
    loop {
        // Every other watch begins in the past; each third wants the records before.
        let start = if turn.is_multiple_of(2) {
            0
        } else {
            2 + (turn as i64 * 37) % 500
        };
        let request = WatchCreateRequest {
            prev_kv: turn.is_multiple_of(3),
            ..all_from(0)
        };
        let watch_id = 1 + turn as i64;
        let request = WatchCreateRequest {
            watch_id,
            start_revision: start,
            ..request
        };
        control.create(request).await.expect("an open stream");
        let mut next = 0;
        for pulled in 0.. {
            let frame = stream.next().await.expect("an open stream");
            let response = WatchResponse::decode(frame).expect("a response");
            assert_eq!(response.watch_id, watch_id);
            if response.created {
                next = if start == 0 {
                    revision(&response) + 1
                } else {
                    start
                };
            }
            for event in &response.events {
                let kv = event.kv.as_ref().expect("a record");
                assert_eq!(kv.mod_revision, next, "lost, doubled or out of order");
                assert_eq!(
                    event.prev_kv.is_some(),
                    turn.is_multiple_of(3) && kv.version > 1
                );
                next += 1;
            }
            let end = last.load(Ordering::Acquire);
            if end > 0 && next > end {
                return;
            }
            // A watch from now on may have nothing to wait for.
            if pulled > 20 || (end > 0 && start == 0) {
                break;
            }
        }
        control.cancel(watch_id).await.expect("an open stream");
        loop {
            let frame = stream.next().await.expect("an open stream");
            let response = WatchResponse::decode(frame).expect("a response");
            if response.canceled {
                break;
            }
        }
        // From here on only watches from the past: they surely come to the end.
        turn += if last.load(Ordering::Acquire) > 0 && !turn.is_multiple_of(2) {
            2
        } else {
            1
        };
    }
}
