use mainstay_proto::etcdserverpb as pb;
use rand::Rng;
use rand::seq::IndexedRandom;

use super::Generator;
use crate::normalise::FIRST_MEMBER;
use crate::request::Request;
use crate::world::World;

/// A member that no cluster has.
const STRANGER: u64 = 12_345;

pub fn request(of: &mut Generator, world: &World) -> Request {
    match of.rng.random_range(0..20) {
        0..3 => Request::Status,
        3..6 => alarm(of),
        6..7 => Request::Defragment,
        7..8 => Request::Hash,
        8..14 => hash(of, world),
        14..16 => {
            let target_id = if of.rng.random_bool(0.5) { STRANGER } else { 0 };
            // Who leads is known for certain only where there is one member.
            if world.size > 1 {
                return Request::Status;
            }
            Request::MoveLeader(pb::MoveLeaderRequest { target_id })
        }
        _ => Request::MemberList(pb::MemberListRequest {
            linearizable: of.rng.random(),
        }),
    }
}

fn hash(of: &mut Generator, world: &World) -> Request {
    if of.random_leases {
        return Request::Status;
    }
    let mut revision = match of.rng.random_range(0..8) {
        0..3 => 0,
        3 => -1,
        4 => world.revision + 1,
        _ => of.rng.random_range(world.compacted.max(0)..=world.revision),
    };
    // etcd answers for a compacted revision from a list that it fills when it has carried the
    // compaction out, which nobody can wait for unless the compaction was physical.
    let uncertain = !world.physical || world.size > 1;
    if uncertain && (revision <= world.compacted || world.compacted == world.revision) {
        revision = -1;
    }
    // See `deviations`: for etcd a key put again there is not alive there.
    let hashed = if revision == 0 {
        world.revision
    } else {
        revision
    };
    if world.reborn.contains(&hashed) {
        revision = -1;
    }
    Request::HashKv(pb::HashKvRequest { revision })
}

fn alarm(of: &mut Generator) -> Request {
    let member = [0, FIRST_MEMBER, STRANGER]
        .choose(&mut of.rng)
        .copied()
        .unwrap_or(0);
    let alarm = of.rng.random_range(0..3);
    // An unknown action stops the etcd process that serves it, see `deviations`.
    let action = of.rng.random_range(0..3);
    Request::Alarm(pb::AlarmRequest {
        action,
        member_id: member,
        alarm,
    })
}

/// Takes back the first active alarm.
pub fn disarm(world: &World) -> Request {
    let (member_id, alarm) = world.alarms.first().copied().unwrap_or_default();
    let action = pb::alarm_request::AlarmAction::Deactivate as i32;
    Request::Alarm(pb::AlarmRequest {
        action,
        member_id,
        alarm,
    })
}
