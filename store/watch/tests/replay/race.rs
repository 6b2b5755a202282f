//! Streams on several threads while another one commits: nothing is lost, doubled or reordered,
//! whatever happens between a publication and a stream that fetches it.

use mainstay_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use mainstay_watch::{Control, Hub, Stream};
use prost::Message;

use crate::support::{World, all_from, options, revision};

const COMMITS: i64 = 2000;
/// The first revision of an empty store's first write is 2.
const FIRST: i64 = 2;
/// Commits write one, two and three revisions in turn. Known beforehand, because a stream may see
/// the last event before the publisher could say that it was the last.
const LAST: i64 = FIRST - 1 + COMMITS / 3 * 6 + (COMMITS % 3) * (COMMITS % 3 + 1) / 2;
const STREAMS: u64 = 6;
/// Responses after which a watch is given up for the next.
const RESPONSES: u32 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_race_with_publications() {
    let mut options = options();
    // Small enough that streams fall out of it again and again.
    options.ring_bytes_max = 6000;
    let mut world = World::new(options);
    let hub = world.hub.clone();
    let streams: Vec<_> = (0..STREAMS)
        .map(|seed| tokio::spawn(follow(hub.clone(), seed)))
        .collect();
    let publisher = std::thread::spawn(move || {
        let mut revision = 0;
        for commit in 0..COMMITS {
            let writes = [("a", Some("1")), ("b", Some("2")), ("c", Some("3"))];
            let count = 1 + (commit % 3) as usize;
            revision = world.write(writes.get(..count).unwrap_or(&writes));
        }
        assert_eq!(revision, LAST);
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

/// Watches everything, up to the last event; now and then begins anew, from now or from before.
async fn follow(hub: Hub, seed: u64) {
    let (control, mut stream) = hub.open_stream();
    for turn in seed.. {
        if watch_for_a_while(&control, &mut stream, turn).await {
            return;
        }
        control
            .cancel(watch_id(turn))
            .await
            .expect("an open stream");
        while !response(&mut stream).await.canceled {}
    }
}

fn watch_id(turn: u64) -> i64 {
    1 + turn as i64
}

async fn response(stream: &mut Stream) -> WatchResponse {
    let frame = stream.next().await.expect("an open stream");
    WatchResponse::decode(frame).expect("a response")
}

/// True once the last event has come in.
async fn watch_for_a_while(control: &Control, stream: &mut Stream, turn: u64) -> bool {
    // Every other watch begins in the past; each third wants the records before.
    let from_now = turn.is_multiple_of(2);
    let start_revision = match from_now {
        true => 0,
        false => FIRST + (turn as i64 * 37) % 500,
    };
    let prev_kv = turn.is_multiple_of(3);
    let request = WatchCreateRequest {
        watch_id: watch_id(turn),
        prev_kv,
        ..all_from(start_revision)
    };
    control.create(request).await.expect("an open stream");
    let (mut next, mut left) = (start_revision, RESPONSES);
    while left > 0 {
        let response = response(stream).await;
        left -= 1;
        // Once nothing more is published, however far behind a watch begins it goes on to the end:
        // there is no later one that would come by it sooner.
        if response.created && revision(&response) >= LAST {
            left = u32::MAX;
        }
        assert_eq!(response.watch_id, watch_id(turn));
        if response.created && from_now {
            next = revision(&response) + 1;
        }
        for event in &response.events {
            let kv = event.kv.as_ref().expect("a record");
            assert_eq!(kv.mod_revision, next, "lost, doubled or out of order");
            assert_eq!(event.prev_kv.is_some(), prev_kv && kv.version > 1);
            next += 1;
        }
        if next > LAST {
            // A watch from now on that was created too late has seen nothing; the one after it
            // begins in the past.
            return !response.created;
        }
    }
    false
}
