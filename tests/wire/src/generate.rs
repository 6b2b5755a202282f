pub mod keys;
pub mod kv;
pub mod lease;
pub mod maintenance;
pub mod odd;
pub mod txn;
pub mod watch;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::request::{Metadata, Op};
use crate::world::World;

/// Watch streams beside the witness.
pub const STREAMS: usize = 3;
/// Every so many seeds the clusters have three members.
const THREE_MEMBERS_EVERY: u64 = 5;
/// Every so many seeds keys are attached to leases whose id the server chose. Those ids are part
/// of the hashed records, so such a seed asks for no hash.
const RANDOM_LEASES_EVERY: u64 = 4;
/// First operations of a seed, mostly puts, so that later ones meet something.
const FILL: usize = 25;
/// Longest stretch with an active alarm; most writes fail during one.
const ALARM_STRETCH: usize = 8;

/// A seeded source of requests. The next request depends on the seed and on what the reference
/// answered so far, and on nothing else.
#[derive(Debug)]
pub struct Generator {
    pub rng: StdRng,
    pub seed: u64,
    pub random_leases: bool,
    made: usize,
    alarm_since: usize,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            seed,
            random_leases: seed % RANDOM_LEASES_EVERY == 3,
            made: 0,
            alarm_since: 0,
        }
    }

    /// Members of the clusters that `seed` runs on.
    pub fn members(seed: u64) -> usize {
        if seed % THREE_MEMBERS_EVERY == THREE_MEMBERS_EVERY - 1 {
            3
        } else {
            1
        }
    }

    pub fn next(&mut self, world: &World) -> Op {
        self.made += 1;
        let member = self.rng.random_range(0..world.size);
        let request = self.request(world);
        let metadata = match self.rng.random_range(0..40) {
            0 => Metadata::HasLeader,
            1 => Metadata::ApiVersion,
            2 => Metadata::BadApiVersion,
            _ => Metadata::None,
        };
        // A stream's metadata is looked at when it opens, not with each request.
        let on_stream = matches!(
            request,
            crate::request::Request::WatchCreate { .. }
                | crate::request::Request::WatchCancel { .. }
                | crate::request::Request::WatchProgress { .. }
                | crate::request::Request::WatchUnset { .. }
                | crate::request::Request::Raw { .. }
        );
        let metadata = if on_stream { Metadata::None } else { metadata };
        Op {
            member,
            metadata,
            request,
        }
    }

    fn request(&mut self, world: &World) -> crate::request::Request {
        if self.made <= FILL && self.rng.random_bool(0.7) {
            return kv::fill(self);
        }
        if world.alarms.is_empty() {
            self.alarm_since = self.made;
        } else if self.made - self.alarm_since > ALARM_STRETCH {
            return maintenance::disarm(world);
        }
        match self.rng.random_range(0..100) {
            0..18 => kv::put(self, world),
            18..25 => kv::delete(self),
            25..43 => kv::range(self, world),
            43..48 => kv::range_stream(self, world),
            48..66 => txn::request(self, world),
            66..69 => kv::compact(self, world),
            69..82 => watch::request(self, world),
            82..91 => lease::request(self, world),
            91..97 => maintenance::request(self, world),
            _ => odd::request(self),
        }
    }
}
