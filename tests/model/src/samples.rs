//! Histories for the tests of the checkers: a short one by hand that holds one of everything, and
//! long random ones from a simulated linearizable store.

use crate::{
    history::{Fault, History, MemberLog, Operation, WatchReply, Watcher},
    key_value::{Event, in_range},
    request::{Compare, Relation, Request, Target},
    response::{Body, Outcome, Response},
    state::State,
    violation::{Rule, Violation},
};

/// The newest revision of [`good`].
pub const LAST_REVISION: i64 = 9;

/// The lease of [`good`]: granted for two seconds, renewed once, then left to expire.
pub const LEASE: i64 = 77;

const MS: u64 = 1_000_000;

pub fn rules(violations: &[Violation]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = violations.iter().map(|violation| violation.rule).collect();
    rules.dedup();
    rules
}

pub fn response_mut(history: &mut History, index: usize) -> Option<&mut Response> {
    match &mut history.operations[index].outcome {
        Outcome::Ok(response) => Some(response),
        _ => None,
    }
}

pub fn index_of_last_get(history: &History) -> usize {
    history.operations.len() - 1
}

/// Index of the operation that answered `revision` and wrote.
pub fn index_of_write(history: &History, revision: i64) -> usize {
    let writes = |operation: &Operation| {
        operation
            .response()
            .is_some_and(|response| response.revision == revision && response.body.wrote())
    };
    history.operations.iter().position(writes).unwrap()
}

/// A store that does one thing after another and writes down what its clients see.
struct Script {
    state: State,
    history: History,
    events: Vec<Event>,
    time: u64,
}

impl Script {
    fn new() -> Script {
        let (state, history) = (State::default(), History::default());
        Script {
            state,
            history,
            events: Vec::new(),
            time: 0,
        }
    }

    fn apply(&mut self, request: &Request) -> Response {
        let effect = self.state.evaluate(request);
        self.state.advance(&effect.events);
        self.events.extend(effect.events);
        Response {
            revision: self.state.revision,
            body: effect.body,
        }
    }

    fn record(&mut self, request: Request, outcome: Outcome) {
        self.time += 10 * MS;
        let (call, ret) = (self.time, self.time + 5 * MS);
        self.history.operations.push(Operation {
            client: 1,
            member: 0,
            call,
            ret,
            request,
            outcome,
        });
    }

    fn run(&mut self, request: Request) {
        let mut response = self.apply(&request);
        if let Request::LeaseKeepAlive { .. } = request {
            response.body = Body::LeaseKeepAlive { ttl: 2 };
        }
        self.record(request, Outcome::Ok(response));
    }

    fn unknown(&mut self, request: Request) {
        self.apply(&request);
        self.record(
            request,
            Outcome::Unknown {
                message: "timed out".into(),
            },
        );
    }

    fn refused(&mut self, request: Request, message: &str) {
        let (code, message) = ("OutOfRange".into(), message.into());
        self.record(request, Outcome::Failed { code, message });
    }
}

/// One of everything, in 15 operations and 9 revisions.
pub fn good() -> History {
    let mut script = Script::new();
    script.run(Request::put("a", "v1"));
    script.run(Request::put("b", "v2"));
    script.run(Request::Put {
        key: "a".into(),
        value: "v3".into(),
        lease: 0,
        prev_kv: true,
    });
    script.run(cas("a", 2, "v4"));
    script.run(cas("a", 1, "v5"));
    script.run(Request::DeleteRange {
        key: "b".into(),
        range_end: String::new(),
        prev_kv: true,
    });
    script.run(Request::LeaseGrant { id: LEASE, ttl: 2 });
    script.run(Request::Put {
        key: "l".into(),
        value: "v6".into(),
        lease: LEASE,
        prev_kv: false,
    });
    script.run(Request::LeaseKeepAlive { id: LEASE });
    script.unknown(Request::put("d", "v7"));
    script.run(all(0, false));
    script.run(Request::Compact { revision: 4 });
    script.refused(all(3, false), "mvcc: required revision has been compacted");
    script.time += 3000 * MS;
    let stale = Outcome::Ok(Response {
        revision: script.state.revision,
        body: script.state.evaluate(&all(0, true)).body,
    });
    script.apply(&Request::LeaseRevoke { id: LEASE });
    script.record(all(0, true), stale);
    script.run(Request::get("d"));
    finish(script)
}

fn cas(key: &str, version: i64, value: &str) -> Request {
    Request::Txn {
        compare: vec![Compare {
            key: key.into(),
            relation: Relation::Equal,
            target: Target::Version(version),
        }],
        success: vec![
            Request::put(key, value),
            Request::put("c", &format!("{value}c")),
        ],
        failure: vec![Request::get(key)],
    }
}

fn all(revision: i64, serializable: bool) -> Request {
    Request::Range {
        key: "\0".into(),
        range_end: "\0".into(),
        revision,
        limit: 0,
        serializable,
    }
}

/// Adds member logs and watchers from the start, from the middle and with a filter.
fn finish(script: Script) -> History {
    let Script {
        mut history,
        events,
        time,
        state,
    } = script;
    let through = state.revision;
    for member in 0..3 {
        let (label, events) = ("live".to_owned(), events.clone());
        history.members.push(MemberLog {
            member,
            label,
            from: 2,
            through,
            events,
        });
    }
    history.end = time + 100 * MS;
    history.faults.push(Fault {
        kind: "pause".into(),
        start: 20 * MS,
        end: 40 * MS,
    });
    let whole = Watcher {
        client: 1,
        member: 0,
        key: "\0".into(),
        range_end: "\0".into(),
        start_revision: 1,
        prev_kv: true,
        no_put: false,
        no_delete: false,
        replies: Vec::new(),
    };
    let (bare, keys) = (
        Watcher {
            prev_kv: false,
            start_revision: 4,
            member: 1,
            ..whole.clone()
        },
        Watcher {
            key: "a".into(),
            range_end: "c".into(),
            ..whole.clone()
        },
    );
    let puts = Watcher {
        no_delete: true,
        start_revision: 0,
        member: 2,
        ..whole.clone()
    };
    for watcher in [whole, bare, keys, puts] {
        let watcher = deliver(watcher, &events, history.end);
        history.watchers.push(watcher);
    }
    history
}

/// What a correct server sends: creation, one response a revision, and progress at the end.
fn deliver(mut watcher: Watcher, events: &[Event], end: u64) -> Watcher {
    let reply = |revision| WatchReply {
        time: end,
        revision,
        created: false,
        canceled: false,
        compact_revision: 0,
        events: Vec::new(),
    };
    let start = if watcher.start_revision > 0 {
        watcher.start_revision
    } else {
        3
    };
    watcher.replies.push(WatchReply {
        created: true,
        ..reply(start - 1)
    });
    for event in events.iter().filter(|event| event.revision() >= start) {
        let filtered = watcher.no_delete && event.kv.value.is_empty();
        if filtered || !in_range(&event.kv.key, &watcher.key, &watcher.range_end) {
            continue;
        }
        let event = if watcher.prev_kv {
            event.clone()
        } else {
            event.without_prev()
        };
        match watcher
            .replies
            .last_mut()
            .filter(|last| last.revision == event.revision())
        {
            Some(last) => last.events.push(event),
            None => {
                let revision = event.revision();
                watcher.replies.push(WatchReply {
                    events: vec![event],
                    ..reply(revision)
                });
            }
        }
    }
    let last = events.last().map_or(1, Event::revision);
    watcher.replies.push(reply(last));
    watcher
}

/// A history of `count` operations by six clients whose calls overlap. Each takes effect at one
/// instant between its call and its return; some lose their answer.
pub fn random(seed: u64, count: usize) -> History {
    let mut script = Script::new();
    let mut random = Random(seed.wrapping_mul(2).wrapping_add(1));
    let mut free = [0u64; 6];
    let mut now = 0;
    for number in 0..count {
        now += 1 + random.below(10);
        let client = random.below(6) as usize;
        // The instant of effect is `now`; call and return lie on both sides of it.
        now = now.max(free[client] + 1);
        let call = free[client].max(now.saturating_sub(1 + random.below(40)));
        let ret = now + 1 + random.below(40);
        free[client] = ret;
        let request = random.request(number);
        let response = script.apply(&request);
        let lost = random.below(10) == 0;
        let outcome = if lost {
            Outcome::Unknown {
                message: "timed out".into(),
            }
        } else {
            Outcome::Ok(response)
        };
        let client = client as u32;
        script.history.operations.push(Operation {
            client,
            member: 0,
            call,
            ret,
            request,
            outcome,
        });
    }
    script.time = now + 100;
    finish(script)
}

/// A plain congruential generator: tests of a checker need spread, not quality.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % bound
    }

    fn request(&mut self, number: usize) -> Request {
        let key = format!("k{}", self.below(5));
        let value = format!("v{number}");
        match self.below(10) {
            0..=3 => Request::Put {
                key,
                value,
                lease: 0,
                prev_kv: self.below(2) == 0,
            },
            4 | 5 => Request::get(&key),
            6 => all(0, false),
            7 => Request::DeleteRange {
                key,
                range_end: String::new(),
                prev_kv: false,
            },
            8 => Request::DeleteRange {
                key,
                range_end: "l".into(),
                prev_kv: true,
            },
            _ => cas(&key, self.below(3) as i64, &value),
        }
    }
}
