use mainstay_proto::etcdserverpb as pb;
use rand::Rng;
use rand::seq::IndexedRandom;

use super::Generator;
use crate::request::Request;
use crate::world::World;

/// Ids that clients choose.
const IDS: &[i64] = &[1, 2, 3, 7, 1000, i64::MAX, -1, -42, i64::MIN];
/// Ids that no request ever grants.
const UNKNOWN: &[i64] = &[0, 999_999, -999_999];
/// Times to live in seconds. Short ones would run out at a moment of their own, so they are left
/// to scripts.
const TTLS: &[i64] = &[300, 600, 3600, 86_400, 9_000_000_000];
/// etcd's largest TTL is 9,000,000,000 s.
const TOO_LARGE: &[i64] = &[9_000_000_001, i64::MAX];

pub fn request(of: &mut Generator, world: &World) -> Request {
    match of.rng.random_range(0..20) {
        0..7 => grant(of),
        7..10 => Request::LeaseRevoke(pb::LeaseRevokeRequest { id: any(of, world) }),
        10..13 => {
            let count = of.rng.random_range(0..4);
            let beats = (0..count).map(|_| pb::LeaseKeepAliveRequest { id: any(of, world) });
            Request::LeaseKeepAlive(beats.collect())
        }
        13..18 => {
            let keys = of.rng.random_bool(0.6);
            Request::LeaseTimeToLive(pb::LeaseTimeToLiveRequest {
                id: any(of, world),
                keys,
            })
        }
        _ => Request::LeaseLeases,
    }
}

fn grant(of: &mut Generator) -> Request {
    let ttls = if of.rng.random_ratio(1, 10) {
        TOO_LARGE
    } else {
        TTLS
    };
    let ttl = ttls.choose(&mut of.rng).copied().unwrap_or(300);
    let chosen = IDS.choose(&mut of.rng).copied().unwrap_or(1);
    let id = if of.random_leases && of.rng.random_bool(0.5) {
        0
    } else {
        chosen
    };
    Request::LeaseGrant(pb::LeaseGrantRequest { ttl, id })
}

/// Mostly a lease that exists.
pub fn any(of: &mut Generator, world: &World) -> i64 {
    let unknown = of.rng.random_ratio(1, 8);
    let from = if unknown || world.leases.is_empty() {
        UNKNOWN
    } else {
        &world.leases
    };
    from.choose(&mut of.rng).copied().unwrap_or(0)
}
