use mainstay_proto::etcdserverpb as pb;
use rand::Rng;
use rand::seq::IndexedRandom;

use super::{Generator, STREAMS, keys};
use crate::request::Request;
use crate::world::World;

/// Watchers of one run at a time.
const WATCHERS: usize = 14;

pub fn request(of: &mut Generator, world: &World) -> Request {
    let stream = of.rng.random_range(1..=STREAMS);
    match of.rng.random_range(0..20) {
        // See `deviations`: etcd answers no more on a stream with a watch lost to compaction.
        0..3 if !world.tainted.contains(&stream) => Request::WatchProgress { stream },
        3 => Request::WatchUnset { stream },
        4 => Request::WatchCancel {
            stream,
            id: 987_654,
        },
        5..9 => cancel(of, world, stream),
        _ if world.watchers.len() >= WATCHERS => cancel(of, world, stream),
        _ => create(of, world, stream),
    }
}

fn cancel(of: &mut Generator, world: &World, stream: usize) -> Request {
    // Watchers on stream 0 are the witness.
    let mine: Vec<_> = world
        .watchers
        .iter()
        .filter(|watcher| watcher.stream != 0)
        .collect();
    match mine.choose(&mut of.rng) {
        Some(watcher) => Request::WatchCancel {
            stream: watcher.stream,
            id: watcher.id,
        },
        None => create(of, world, stream),
    }
}

fn create(of: &mut Generator, world: &World, stream: usize) -> Request {
    let key = keys::any_key(of);
    let mut range_end = keys::end(of, &key);
    if range_end.is_empty() && of.rng.random_bool(0.5) {
        range_end = keys::prefix_end(&key);
    }
    let mut start_revision = match of.rng.random_range(0..10) {
        0..4 => 0,
        4..6 => super::kv::revision(of, world),
        6 => world.revision + of.rng.random_range(1..12),
        _ => of.rng.random_range(world.compacted.max(1)..=world.revision),
    };
    // A stream with a watcher cancelled by compaction is of little use any more: mostly do not.
    let lost = start_revision > 0 && start_revision < world.compacted;
    if lost && of.rng.random_bool(0.5) {
        start_revision = world.compacted;
    }
    let mut watch_id = if of.rng.random_bool(0.7) {
        0
    } else {
        of.rng.random_range(-3..20)
    };
    // See `deviations`: -1 says something else in responses.
    if watch_id == -1 {
        watch_id = -10;
    }
    // An id that a compaction cancelled stays taken in etcd, see `deviations`.
    if world.tainted.contains(&stream) || lost {
        watch_id = 0;
    }
    let mut filters = Vec::new();
    if of.rng.random_ratio(1, 4) {
        filters = [
            vec![0],
            vec![1],
            vec![0, 1],
            vec![0, 0],
            vec![5],
            vec![1, 9],
        ]
        .choose(&mut of.rng)
        .cloned()
        .unwrap_or_default();
    }
    let create = pb::WatchCreateRequest {
        key,
        range_end,
        start_revision,
        progress_notify: of.rng.random_ratio(1, 4),
        filters,
        prev_kv: of.rng.random_bool(0.5),
        watch_id,
        fragment: of.rng.random_ratio(1, 4),
    };
    Request::WatchCreate { stream, create }
}
