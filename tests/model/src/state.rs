//! The sequential model: what one request answers and does, given the keys before it.
//!
//! It follows etcd's documented rules and nothing of Mainstay's code, so that a mistake in the
//! store cannot be in its judge as well.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    key_value::{Event, EventKind, KeyValue, in_range},
    request::{Compare, Relation, Request, Target},
    response::Body,
};

/// The live keys at one revision. An empty store is at revision 1, as in etcd.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub revision: i64,
    keys: BTreeMap<String, Arc<KeyValue>>,
}

/// What a request would do at this state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    pub body: Body,
    /// In the order in which a watcher gets them, with `prev_kv` set.
    pub events: Vec<Event>,
}

impl Default for State {
    fn default() -> State {
        State {
            revision: 1,
            keys: BTreeMap::new(),
        }
    }
}

impl State {
    /// Answers the request without changing the state. Leases and compaction are not kept here:
    /// grants and keep-alives answer with what was asked for, and a revoke deletes the keys that
    /// carry the lease.
    #[must_use]
    pub fn evaluate(&self, request: &Request) -> Effect {
        let mut scratch = Scratch {
            before: self,
            keys: self.keys.clone(),
            revision: self.revision + 1,
            events: Vec::new(),
        };
        let body = scratch.run(request);
        Effect {
            body,
            events: scratch.events,
        }
    }

    /// Moves to the next revision by its events. They are taken as they are; [`State::expected`]
    /// tells what they should have been.
    pub fn advance(&mut self, events: &[Event]) {
        for event in events {
            self.revision = event.revision();
            match event.kind {
                EventKind::Put => {
                    self.keys
                        .insert(event.kv.key.clone(), Arc::new(event.kv.clone()));
                }
                EventKind::Delete => {
                    self.keys.remove(&event.kv.key);
                }
            }
        }
    }

    /// The event as it must look if it happens next at `revision`: same kind, key, value and
    /// lease, but creation, version and previous value as the state has them. `None` for the
    /// delete of a key that is not there.
    #[must_use]
    pub fn expected(&self, event: &Event, revision: i64) -> Option<Event> {
        let prev = self.get(&event.kv.key).cloned();
        let kv = match event.kind {
            EventKind::Put => next_version(
                prev.as_ref(),
                &event.kv.key,
                &event.kv.value,
                event.kv.lease,
                revision,
            ),
            EventKind::Delete => {
                prev.as_ref()?;
                tombstone(&event.kv.key, revision)
            }
        };
        Some(Event {
            kind: event.kind,
            kv,
            prev_kv: prev,
        })
    }

    #[must_use]
    pub fn get(&self, key: &str) -> Option<&KeyValue> {
        self.keys.get(key).map(AsRef::as_ref)
    }

    /// The keys that carry a lease, in order.
    pub fn keys_of_lease(&self, lease: i64) -> impl Iterator<Item = &str> {
        self.keys
            .values()
            .filter(move |kv| kv.lease == lease)
            .map(|kv| kv.key.as_str())
    }
}

/// One request being carried out on a copy of the keys.
struct Scratch<'a> {
    /// Conditions, also nested ones, look only at what was there before the transaction.
    before: &'a State,
    keys: BTreeMap<String, Arc<KeyValue>>,
    revision: i64,
    events: Vec<Event>,
}

impl Scratch<'_> {
    fn run(&mut self, request: &Request) -> Body {
        match request {
            Request::Range {
                key,
                range_end,
                limit,
                ..
            } => self.range(key, range_end, *limit),
            Request::Put {
                key,
                value,
                lease,
                prev_kv,
            } => {
                let prev = self.keys.get(key).map(|kv| kv.as_ref().clone());
                let kv = next_version(prev.as_ref(), key, value, *lease, self.revision);
                self.keys.insert(key.clone(), Arc::new(kv.clone()));
                let answered = if *prev_kv { prev.clone() } else { None };
                self.events.push(Event {
                    kind: EventKind::Put,
                    kv,
                    prev_kv: prev,
                });
                Body::Put { prev_kv: answered }
            }
            Request::DeleteRange {
                key,
                range_end,
                prev_kv,
            } => {
                let removed = self.delete(|kv| in_range(&kv.key, key, range_end));
                Body::DeleteRange {
                    deleted: removed.len() as i64,
                    prev_kvs: if *prev_kv { removed } else { Vec::new() },
                }
            }
            Request::Txn {
                compare,
                success,
                failure,
            } => {
                let succeeded = compare.iter().all(|one| holds(one, self.before));
                let branch = if succeeded { success } else { failure };
                Body::Txn {
                    succeeded,
                    responses: branch.iter().map(|op| self.run(op)).collect(),
                }
            }
            Request::LeaseRevoke { id } => {
                self.delete(|kv| kv.lease == *id);
                Body::LeaseRevoke
            }
            Request::Compact { .. } => Body::Compact,
            Request::LeaseGrant { id, ttl } => Body::LeaseGrant { id: *id, ttl: *ttl },
            Request::LeaseKeepAlive { .. } => Body::LeaseKeepAlive { ttl: 0 },
        }
    }

    fn range(&self, key: &str, range_end: &str, limit: i64) -> Body {
        let matching = self
            .keys
            .values()
            .filter(|kv| in_range(&kv.key, key, range_end));
        let all: Vec<KeyValue> = matching.map(|kv| kv.as_ref().clone()).collect();
        let count = all.len() as i64;
        let cut = limit > 0 && count > limit;
        let kept = if cut {
            usize::try_from(limit).unwrap_or(all.len())
        } else {
            all.len()
        };
        Body::Range {
            kvs: all.into_iter().take(kept).collect(),
            more: cut,
            count,
        }
    }

    fn delete(&mut self, chosen: impl Fn(&KeyValue) -> bool) -> Vec<KeyValue> {
        let removed: Vec<KeyValue> = self
            .keys
            .values()
            .filter(|kv| chosen(kv))
            .map(|kv| kv.as_ref().clone())
            .collect();
        for kv in &removed {
            self.keys.remove(&kv.key);
            self.events.push(Event {
                kind: EventKind::Delete,
                kv: tombstone(&kv.key, self.revision),
                prev_kv: Some(kv.clone()),
            });
        }
        removed
    }
}

fn next_version(
    prev: Option<&KeyValue>,
    key: &str,
    value: &str,
    lease: i64,
    revision: i64,
) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: value.to_owned(),
        create_revision: prev.map_or(revision, |kv| kv.create_revision),
        mod_revision: revision,
        version: prev.map_or(1, |kv| kv.version + 1),
        lease,
    }
}

fn tombstone(key: &str, revision: i64) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        mod_revision: revision,
        ..KeyValue::default()
    }
}

/// A missing key compares as one with all numbers zero, but never by value.
fn holds(compare: &Compare, state: &State) -> bool {
    let found = state.get(&compare.key);
    let number = |of: fn(&KeyValue) -> i64| found.map_or(0, of);
    let order = match &compare.target {
        Target::Version(wanted) => number(|kv| kv.version).cmp(wanted),
        Target::Create(wanted) => number(|kv| kv.create_revision).cmp(wanted),
        Target::Mod(wanted) => number(|kv| kv.mod_revision).cmp(wanted),
        Target::Lease(wanted) => number(|kv| kv.lease).cmp(wanted),
        Target::Value(wanted) => match found {
            Some(kv) => kv.value.as_str().cmp(wanted),
            None => return false,
        },
    };
    match compare.relation {
        Relation::Equal => order.is_eq(),
        Relation::NotEqual => order.is_ne(),
        Relation::Greater => order.is_gt(),
        Relation::Less => order.is_lt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(state: &mut State, request: &Request) -> Body {
        let effect = state.evaluate(request);
        state.advance(&effect.events);
        effect.body
    }

    #[test]
    fn versions_count_up_and_start_anew_after_a_delete() {
        let mut state = State::default();
        apply(&mut state, &Request::put("a", "1"));
        apply(&mut state, &Request::put("a", "2"));
        let kv = state.get("a").unwrap();
        assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 3, 2));
        let delete = Request::DeleteRange {
            key: "a".into(),
            range_end: String::new(),
            prev_kv: false,
        };
        apply(&mut state, &delete);
        assert_eq!(state.revision, 4);
        apply(&mut state, &delete);
        assert_eq!(state.revision, 4, "deleting nothing takes no revision");
        apply(&mut state, &Request::put("a", "3"));
        assert_eq!(state.get("a").unwrap().version, 1);
    }

    #[test]
    fn a_transaction_has_one_revision_and_sees_its_own_writes() {
        let mut state = State::default();
        let txn = Request::Txn {
            compare: vec![Compare {
                key: "a".into(),
                relation: Relation::Equal,
                target: Target::Version(0),
            }],
            success: vec![
                Request::put("a", "1"),
                Request::get("a"),
                Request::put("b", "2"),
            ],
            failure: vec![Request::get("a")],
        };
        let Body::Txn {
            succeeded,
            responses,
        } = apply(&mut state, &txn)
        else {
            panic!()
        };
        assert!(succeeded);
        assert!(matches!(&responses[1], Body::Range { kvs, .. } if kvs[0].value == "1"));
        assert_eq!(state.revision, 2);
        let Body::Txn { succeeded, .. } = apply(&mut state, &txn) else {
            panic!()
        };
        assert!(!succeeded);
        assert_eq!(state.revision, 2);
    }

    #[test]
    fn a_revoke_deletes_the_keys_of_its_lease_only() {
        let mut state = State::default();
        for (key, lease) in [("b", 7), ("a", 7), ("c", 8)] {
            let put = Request::Put {
                key: key.into(),
                value: key.into(),
                lease,
                prev_kv: false,
            };
            apply(&mut state, &put);
        }
        let effect = state.evaluate(&Request::LeaseRevoke { id: 7 });
        let keys: Vec<&str> = effect
            .events
            .iter()
            .map(|event| event.kv.key.as_str())
            .collect();
        assert_eq!(keys, ["a", "b"]);
        state.advance(&effect.events);
        assert!(state.get("c").is_some());
    }

    #[test]
    fn a_missing_key_never_compares_by_value() {
        let compare = Compare {
            key: "x".into(),
            relation: Relation::NotEqual,
            target: Target::Value("v".into()),
        };
        assert!(!holds(&compare, &State::default()));
    }

    #[test]
    fn a_limit_cuts_but_does_not_change_the_count() {
        let mut state = State::default();
        for key in ["a", "b", "c"] {
            apply(&mut state, &Request::put(key, key));
        }
        let all = Request::Range {
            key: "a".into(),
            range_end: "\0".into(),
            revision: 0,
            limit: 2,
            serializable: false,
        };
        let Body::Range { kvs, more, count } = state.evaluate(&all).body else {
            panic!()
        };
        assert_eq!((kvs.len(), more, count), (2, true, 3));
    }
}
