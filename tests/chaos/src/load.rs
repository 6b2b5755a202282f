//! What the clients ask for: a seeded mix over few keys, so that calls collide.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mainstay_model::{Body, Compare, KeyValue, Outcome, Relation, Request, Target};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::sync::watch;

use crate::client::Client;

/// Keys of the common part of the load: `k0` to `k9`.
const KEYS: u32 = 10;

/// Newest lease ids that clients attach keys to.
const SHARED_LEASES: usize = 8;

/// How busy a load is and what it leaves out.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub clients: u32,
    /// Mean pause of a client between two calls, in milliseconds.
    pub pause: u64,
    /// How long a client waits for an answer.
    pub timeout: Duration,
    pub watchers: u32,
    pub leases: bool,
    pub compaction: bool,
    /// Bytes added to each value.
    pub padding: usize,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            clients: 8,
            pause: 12,
            timeout: Duration::from_millis(600),
            watchers: 6,
            leases: true,
            compaction: true,
            padding: 0,
        }
    }
}

/// Leases that any client may attach keys to.
#[derive(Clone, Debug, Default)]
pub struct SharedLeases(Arc<Mutex<Vec<i64>>>);

impl SharedLeases {
    pub fn offer(&self, lease: i64) {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leases.push(lease);
        let surplus = leases.len().saturating_sub(SHARED_LEASES);
        leases.drain(..surplus);
    }

    fn pick(&self, random: &mut StdRng) -> Option<i64> {
        let leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if leases.is_empty() {
            return None;
        }
        leases.get(random.random_range(0..leases.len())).copied()
    }
}

/// Calls until told to stop.
pub async fn run(
    mut client: Client,
    plan: Plan,
    seed: u64,
    leases: SharedLeases,
    stop: watch::Receiver<bool>,
) {
    let mut generator = Generator::new(client.id, plan, seed, leases);
    while !*stop.borrow() {
        let request = generator.next(client.recorder.revision());
        let outcome = client.call(request).await;
        generator.learn(&outcome);
        let pause = generator.random.random_range(0..=2 * plan.pause);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// Makes the requests of one client. Every value is written once in a run.
struct Generator {
    client: u32,
    plan: Plan,
    random: StdRng,
    sequence: u64,
    /// What the client last saw of each key, for compare-and-swap.
    seen: HashMap<String, KeyValue>,
    leases: SharedLeases,
}

impl Generator {
    fn new(client: u32, plan: Plan, seed: u64, leases: SharedLeases) -> Generator {
        let random = StdRng::seed_from_u64(seed ^ (u64::from(client) << 32));
        Generator {
            client,
            plan,
            random,
            sequence: 0,
            seen: HashMap::new(),
            leases,
        }
    }

    fn next(&mut self, revision: i64) -> Request {
        match self.random.random_range(0..100) {
            0..30 => self.put(),
            30..50 => Request::get(&self.key()),
            50..58 => self.range(0, true),
            58..64 => self.range(0, false),
            64..68 => {
                let old = revision - self.random.random_range(-2..200);
                self.range(old.max(1), false)
            }
            68..75 => self.delete(),
            75..93 => self.swap(),
            93..97 => self.several(),
            _ => self.attach(),
        }
    }

    /// Remembers what a read has shown.
    fn learn(&mut self, outcome: &Outcome) {
        if let Outcome::Ok(response) = outcome
            && let Body::Range { kvs, .. } = &response.body
        {
            let newer = kvs.iter().map(|kv| (kv.key.clone(), kv.clone()));
            self.seen.extend(newer);
        }
    }

    fn key(&mut self) -> String {
        format!("k{}", self.random.random_range(0..KEYS))
    }

    fn value(&mut self) -> String {
        self.sequence += 1;
        match self.plan.padding {
            0 => format!("c{}-{}", self.client, self.sequence),
            padding => format!("c{}-{}+{padding}", self.client, self.sequence),
        }
    }

    fn put(&mut self) -> Request {
        let (key, value) = (self.key(), self.value());
        Request::Put {
            key,
            value,
            lease: 0,
            prev_kv: self.random.random_bool(0.3),
        }
    }

    fn range(&mut self, revision: i64, serializable: bool) -> Request {
        let (key, range_end) = match self.random.random_range(0..4) {
            0 => ("\0".to_owned(), "\0".to_owned()),
            1 => ("k".to_owned(), "l".to_owned()),
            2 => ("k3".to_owned(), "k7".to_owned()),
            _ => (self.key(), String::new()),
        };
        let limit = if self.random.random_bool(0.3) { 3 } else { 0 };
        Request::Range {
            key,
            range_end,
            revision,
            limit,
            serializable,
        }
    }

    fn delete(&mut self) -> Request {
        let key = self.key();
        let range_end = if self.random.random_bool(0.15) {
            "k9\0".to_owned()
        } else {
            String::new()
        };
        Request::DeleteRange {
            key,
            range_end,
            prev_kv: self.random.random_bool(0.3),
        }
    }

    /// Compare-and-swap on what was last seen of the key; on failure it reads.
    fn swap(&mut self) -> Request {
        let key = self.key();
        let seen = self.seen.get(&key);
        let target = match (self.random.random_range(0..4), seen) {
            (0, _) => Target::Version(seen.map_or(0, |kv| kv.version)),
            (1, _) => Target::Create(seen.map_or(0, |kv| kv.create_revision)),
            (2, Some(kv)) => Target::Value(kv.value.clone()),
            _ => Target::Mod(seen.map_or(0, |kv| kv.mod_revision)),
        };
        let compare = Compare {
            key: key.clone(),
            relation: Relation::Equal,
            target,
        };
        let mut success = vec![Request::put(&key, &self.value())];
        if self.random.random_bool(0.4) {
            let other = format!("t{}", self.random.random_range(0..4));
            success.push(Request::put(&other, &self.value()));
            success.push(Request::get(&other));
        }
        Request::Txn {
            compare: vec![compare],
            success,
            failure: vec![Request::get(&key)],
        }
    }

    /// Several writes without a condition, a nested transaction among them.
    fn several(&mut self) -> Request {
        let first = self.random.random_range(0..4u32);
        let second = (first + 1) % 4;
        let nested = Request::Txn {
            compare: vec![Compare {
                key: format!("t{second}"),
                relation: Relation::Greater,
                target: Target::Version(0),
            }],
            success: vec![Request::DeleteRange {
                key: format!("t{second}"),
                range_end: String::new(),
                prev_kv: true,
            }],
            failure: vec![Request::put(&format!("t{second}"), &self.value())],
        };
        let put = Request::put(&format!("t{first}"), &self.value());
        Request::Txn {
            compare: Vec::new(),
            success: vec![put, nested, Request::get(&format!("t{second}"))],
            failure: Vec::new(),
        }
    }

    fn attach(&mut self) -> Request {
        match self.leases.pick(&mut self.random) {
            Some(lease) => {
                let key = format!("l{}", self.random.random_range(0..6));
                Request::Put {
                    key,
                    value: self.value(),
                    lease,
                    prev_kv: false,
                }
            }
            None => self.put(),
        }
    }
}
