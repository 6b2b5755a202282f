use mainstay_proto::etcdserverpb as pb;
use rand::Rng;
use rand::seq::IndexedRandom;

use super::{Generator, keys};
use crate::request::Request;
use crate::world::World;

/// Value sizes around etcd's two limits: a proposal of 1.5 MiB, a message of 2 MiB.
const OVERSIZE: &[usize] = &[1_572_800, 1_572_900, 2_097_100, 2_200_000];

/// A plain put.
pub fn fill(of: &mut Generator) -> Request {
    let (key, value) = (keys::key(of), keys::value(of));
    Request::Put(pb::PutRequest {
        key,
        value,
        ..pb::PutRequest::default()
    })
}

pub fn put(of: &mut Generator, world: &World) -> Request {
    let mut put = put_fields(of, world);
    if of.rng.random_ratio(1, 40) {
        let size = OVERSIZE.choose(&mut of.rng).copied().unwrap_or(0);
        put.value = vec![b'v'; size].into();
    }
    Request::Put(put)
}

/// A put with any mixture of fields, also those that exclude each other.
pub fn put_fields(of: &mut Generator, world: &World) -> pb::PutRequest {
    let ignore_value = of.rng.random_ratio(1, 10);
    let ignore_lease = of.rng.random_ratio(1, 10);
    // Half of the time a field is left out where giving it is an error.
    let skip_value = ignore_value && of.rng.random_bool(0.7);
    let skip_lease = ignore_lease && of.rng.random_bool(0.7);
    let lease = if of.rng.random_ratio(1, 4) {
        super::lease::any(of, world)
    } else {
        0
    };
    pb::PutRequest {
        key: keys::any_key(of),
        value: if skip_value {
            bytes::Bytes::new()
        } else {
            keys::value(of)
        },
        lease: if skip_lease { 0 } else { lease },
        prev_kv: of.rng.random_ratio(1, 3),
        ignore_value,
        ignore_lease,
    }
}

pub fn delete(of: &mut Generator) -> Request {
    Request::DeleteRange(delete_fields(of))
}

pub fn delete_fields(of: &mut Generator) -> pb::DeleteRangeRequest {
    let key = keys::any_key(of);
    let mut range_end = keys::end(of, &key);
    // Deleting everything from here on would leave little to look at.
    if &range_end[..] == b"\0" && of.rng.random_bool(0.6) {
        range_end = bytes::Bytes::new();
    }
    pb::DeleteRangeRequest {
        key,
        range_end,
        prev_kv: of.rng.random_bool(0.4),
    }
}

pub fn range(of: &mut Generator, world: &World) -> Request {
    let mut range = range_fields(of, world);
    avoid_unsorted_limit(&mut range);
    Request::Range(range)
}

pub fn range_stream(of: &mut Generator, world: &World) -> Request {
    let mut range = range_fields(of, world);
    // See `deviations`: chunks sorted each for itself.
    if range.sort_order == 0 {
        range.sort_target = 0;
    }
    Request::RangeStream(range)
}

/// A range with any mixture of fields.
pub fn range_fields(of: &mut Generator, world: &World) -> pb::RangeRequest {
    let key = keys::any_key(of);
    let mut range = pb::RangeRequest {
        range_end: keys::end(of, &key),
        key,
        serializable: of.rng.random_ratio(1, 5),
        keys_only: of.rng.random_ratio(1, 6),
        count_only: of.rng.random_ratio(1, 6),
        ..pb::RangeRequest::default()
    };
    if of.rng.random_ratio(1, 3) {
        range.limit = of.rng.random_range(-1..8);
    }
    if of.rng.random_ratio(1, 3) {
        range.revision = revision(of, world);
    }
    if of.rng.random_ratio(1, 3) {
        range.sort_order = of.rng.random_range(0..3);
        range.sort_target = of.rng.random_range(0..5);
    }
    if of.rng.random_ratio(1, 30) {
        range.sort_order = *[3, 9, -1].choose(&mut of.rng).unwrap_or(&3);
    }
    if of.rng.random_ratio(1, 30) {
        range.sort_target = *[5, 77, -2].choose(&mut of.rng).unwrap_or(&5);
    }
    if of.rng.random_ratio(1, 5) {
        let mut bound = || of.rng.random_range(-1..world.revision + 3);
        let bounds = [bound(), bound(), bound(), bound()];
        match of.rng.random_range(0..5) {
            0 => range.min_mod_revision = bounds[0],
            1 => range.max_mod_revision = bounds[1],
            2 => range.min_create_revision = bounds[2],
            3 => range.max_create_revision = bounds[3],
            _ => {
                range.min_mod_revision = bounds[0].min(bounds[1]);
                range.max_mod_revision = bounds[0].max(bounds[1]);
                range.min_create_revision = bounds[2].min(bounds[3]);
                range.max_create_revision = bounds[2].max(bounds[3]);
            }
        }
    }
    range
}

/// See `deviations`: a limit with a sort target and no sort order.
pub fn avoid_unsorted_limit(range: &mut pb::RangeRequest) {
    let filtered = range.min_mod_revision != 0
        || range.max_mod_revision != 0
        || range.min_create_revision != 0
        || range.max_create_revision != 0;
    if range.sort_order == 0 && range.sort_target != 0 && range.limit > 0 && !filtered {
        range.limit = 0;
    }
}

/// Past, present, future, compacted, negative and extreme revisions.
pub fn revision(of: &mut Generator, world: &World) -> i64 {
    match of.rng.random_range(0..12) {
        0 => -1,
        1 => world.revision + 1,
        2 => world.revision,
        3 => world.compacted,
        4 => world.compacted - 1,
        5 => world.compacted + 1,
        6 => i64::MAX,
        7 => i64::MIN,
        _ => of.rng.random_range(world.compacted.max(1)..=world.revision),
    }
}

pub fn compact(of: &mut Generator, world: &World) -> Request {
    // Mostly a small step, so that a past remains to be read.
    let step = (world.revision - world.compacted.max(0)) / 4;
    let mut revision = match of.rng.random_range(0..12) {
        0 => world.revision,
        1 => world.revision + of.rng.random_range(1..5),
        2 => world.compacted,
        3 => -1,
        4 => i64::MAX,
        5 => world.compacted - 1,
        _ => world.compacted.max(0) + of.rng.random_range(0..=step.max(1)),
    };
    // See `deviations`: etcd loses a record and then its life.
    if world.reborn.contains(&revision) {
        revision = world.compacted;
    }
    // See `deviations`: after a compaction at 0 etcd keeps a hash for it.
    if revision == 0 && world.compacted < 0 {
        revision = 1;
    }
    Request::Compact(pb::CompactionRequest {
        revision,
        physical: of.rng.random_bool(0.6),
    })
}
