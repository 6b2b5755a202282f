//! Several sets over one store, whatever is declared, whoever writes, wherever the operator dies.

use proptest::prelude::*;
use serde_json::json;

use mainstay_operator_api::MainstayKeySet;

use super::*;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, Bytes> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), bytes(value)))
        .collect()
}

fn names(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn held(pairs: &[(&str, &str)]) -> Store {
    let pairs = pairs.iter().enumerate();
    let held = |at: usize, value: &str| Held {
        value: bytes(value),
        mod_revision: at as i64 + 1,
        leased: false,
    };
    pairs
        .map(|(at, (key, value))| (bytes(key), held(at, value)))
        .collect()
}

struct Case {
    wanted: BTreeMap<String, Bytes>,
    managed: BTreeSet<String>,
    store: Store,
    whole: bool,
    unlisted: Unlisted,
    resting: BTreeSet<Bytes>,
    refused: BTreeSet<Bytes>,
}

impl Case {
    fn new(wanted: &[(&str, &str)], managed: &[&str], store: &[(&str, &str)]) -> Case {
        Case {
            wanted: values(wanted),
            managed: names(managed),
            store: held(store),
            whole: true,
            unlisted: Unlisted::Keep,
            resting: BTreeSet::new(),
            refused: BTreeSet::new(),
        }
    }

    fn compare(&self) -> Difference {
        compare(&View {
            prefix: "p/",
            wanted: &self.wanted,
            whole: self.whole,
            managed: &self.managed,
            unwritten: &BTreeSet::new(),
            unlisted: self.unlisted,
            claims: &Claims::default(),
            resting: &self.resting,
            refused: &self.refused,
            store: &self.store,
        })
    }
}

fn told(difference: &Difference) -> Vec<String> {
    let changes = difference.changes.iter().map(|change| {
        let key = String::from_utf8_lossy(&change.key);
        let drift = if change.is_drift { "drift " } else { "" };
        match &change.value {
            Some(value) => format!(
                "{drift}put {key}={}@{}",
                String::from_utf8_lossy(value),
                change.since
            ),
            None => format!("{drift}delete {key}@{}", change.since),
        }
    });
    changes.collect()
}

#[test]
fn what_differs_is_put_right() {
    let case = Case::new(
        &[("a", "1"), ("b", "2"), ("c", "3")],
        &["a", "b", "old"],
        &[("a", "1"), ("b", "x"), ("foreign", "y"), ("old", "z")],
    );
    let difference = case.compare();
    assert_eq!(
        told(&difference),
        ["drift put b=2@2", "put c=3@0", "delete old@4"]
    );
    assert_eq!(difference.in_sync, 1);
    assert_eq!(difference.managed, names(&["a", "b", "c", "old"]));
    let done = [bytes("old"), bytes("b")].into();
    assert_eq!(managed_after(&difference, &done), names(&["a", "b", "c"]));
}

#[test]
fn nothing_is_deleted_while_something_is_not_known() {
    let mut case = Case::new(&[("a", "1")], &["a", "b"], &[("b", "2"), ("c", "3")]);
    case.unlisted = Unlisted::Delete;
    case.whole = false;
    let difference = case.compare();
    assert_eq!(told(&difference), ["drift put a=1@0"]);
    assert_eq!(difference.managed, names(&["a", "b"]));
    case.whole = true;
    let difference = case.compare();
    assert_eq!(
        told(&difference),
        ["drift put a=1@0", "delete b@1", "drift delete c@2"]
    );
}

#[test]
fn a_key_that_hangs_on_a_lease_is_written_anew_and_one_that_rests_is_not() {
    let mut case = Case::new(
        &[("a", "1"), ("b", "2")],
        &["a", "b"],
        &[("a", "1"), ("b", "x")],
    );
    case.store.get_mut(&b"a"[..]).unwrap().leased = true;
    case.resting.insert(bytes("b"));
    let difference = case.compare();
    assert_eq!(told(&difference), ["drift put a=1@1"]);
    assert_eq!(difference.resting, 1);
}

#[test]
fn what_is_refused_is_told_and_is_the_sets_only_if_it_was_before() {
    let mut case = Case::new(
        &[("new", "1"), ("old", "2"), ("same", "3")],
        &["old", "same", "gone"],
        &[("old", "x"), ("same", "3"), ("gone", "4")],
    );
    let all = ["new", "old", "same", "gone"].map(bytes);
    case.refused = all.into();
    let difference = case.compare();
    assert_eq!(told(&difference), [""; 0]);
    assert_eq!(difference.refused, ["gone", "new", "old"].map(bytes).into());
    assert_eq!(difference.managed, names(&["gone", "old", "same"]));
    assert_eq!(difference.in_sync, 1);
    case.refused.clear();
    assert_eq!(
        told(&case.compare()),
        ["put new=1@0", "drift put old=2@1", "delete gone@3"]
    );
}

const KEYS: [&str; 4] = ["a", "b", "c", "d"];
const FOREIGN: [&str; 2] = ["x", "y"];
const SETS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// A set declares these keys, with values that are its own.
    Declare {
        set: usize,
        keys: Vec<bool>,
        turn: u8,
    },
    /// A source of a set is missing, or is back.
    Whole { set: usize, whole: bool },
    /// Somebody else writes or deletes a key.
    Other { key: usize, put: bool },
    /// The operator passes over a set and dies after so many changes; without any, before them.
    Pass { set: usize, changes: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let set = 0..SETS;
    let step = prop_oneof![
        (
            set.clone(),
            prop::collection::vec(any::<bool>(), KEYS.len()),
            any::<u8>()
        )
            .prop_map(|(set, keys, turn)| Step::Declare { set, keys, turn }),
        (set.clone(), any::<bool>()).prop_map(|(set, whole)| Step::Whole { set, whole }),
        (0..KEYS.len() + FOREIGN.len(), any::<bool>())
            .prop_map(|(key, put)| Step::Other { key, put }),
        (set, 0..8_usize).prop_map(|(set, changes)| Step::Pass { set, changes }),
    ];
    prop::collection::vec(step, 1..60)
}

#[derive(Clone, Default)]
struct Set {
    declared: BTreeMap<String, Bytes>,
    managed: BTreeSet<String>,
    broken: bool,
    owns: bool,
}

struct World {
    sets: Vec<Set>,
    store: Store,
    /// Keys whose last writer was a set.
    ours: BTreeSet<String>,
    revision: i64,
}

impl World {
    fn new(owner: Option<usize>) -> World {
        let mut sets = vec![Set::default(); SETS];
        if let Some(set) = owner.and_then(|at| sets.get_mut(at)) {
            set.owns = true;
        }
        World {
            sets,
            store: Store::new(),
            ours: BTreeSet::new(),
            revision: 0,
        }
    }

    /// The sets as the API server has them; the first is the oldest.
    fn objects(&self) -> Vec<MainstayKeySet> {
        let sets = self.sets.iter().enumerate();
        let object = |(at, set): (usize, &Set)| {
            let keys = set
                .declared
                .keys()
                .map(|key| json!({ "key": key, "value": "" }));
            let unlisted = if set.owns { "Delete" } else { "Keep" };
            serde_json::from_value(json!({
                "apiVersion": "mainstay.dev/v1alpha1", "kind": "MainstayKeySet",
                "metadata": { "name": format!("s{at}"), "uid": format!("s{at}") },
                "spec": { "cluster": "db", "prefix": "p/", "unlisted": unlisted,
                    "keys": keys.collect::<Vec<_>>() },
                "status": { "managed": set.managed },
            }))
            .unwrap()
        };
        sets.map(object).collect()
    }

    fn pass(&mut self, at: usize, limit: usize) {
        let objects = self.objects();
        let set = &self.sets[at];
        let claims = Claims::of(&objects[at], objects.iter());
        let unlisted = objects[at].spec.unlisted;
        let difference = compare(&View {
            prefix: "p/",
            wanted: &set.declared,
            whole: !set.broken,
            managed: &set.managed,
            unwritten: &BTreeSet::new(),
            unlisted,
            claims: &claims,
            resting: &BTreeSet::new(),
            refused: &BTreeSet::new(),
            store: &self.store,
        });
        self.sets[at].managed = difference.managed.clone();
        let mut done = BTreeSet::new();
        for change in difference.changes.iter().take(limit) {
            let now = self
                .store
                .get(&change.key)
                .map_or(0, |held| held.mod_revision);
            assert_eq!(now, change.since);
            let key = String::from_utf8(change.key.to_vec()).unwrap();
            match &change.value {
                Some(value) => {
                    self.put(&key, value.clone());
                    self.ours.insert(key);
                }
                None => {
                    self.store.remove(&change.key);
                }
            }
            done.insert(change.key.clone());
        }
        if limit >= difference.changes.len() {
            self.sets[at].managed = managed_after(&difference, &done);
        }
    }

    fn put(&mut self, key: &str, value: Bytes) {
        self.revision += 1;
        let held = Held {
            value,
            mod_revision: self.revision,
            leased: false,
        };
        self.store.insert(bytes(key), held);
        self.ours.remove(key);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Declare { set, keys, turn } => {
                let keys = KEYS.iter().zip(keys).filter(|(_, declared)| **declared);
                let value = bytes(&format!("s{set} {turn}"));
                self.sets[*set].declared = keys
                    .map(|(key, _)| ((*key).to_owned(), value.clone()))
                    .collect();
            }
            Step::Whole { set, whole } => self.sets[*set].broken = !whole,
            Step::Other { key, put } => {
                let key = KEYS.iter().chain(&FOREIGN).nth(*key).unwrap();
                match put {
                    true => self.put(key, bytes("foreign")),
                    false => {
                        self.store.remove(key.as_bytes());
                    }
                }
            }
            Step::Pass { set, changes } => self.pass(*set, *changes),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_store_becomes_what_is_declared(steps in steps(), owner in prop::option::of(0..SETS)) {
        let mut world = World::new(owner);
        let mut foreign = BTreeMap::new();
        for step in &steps {
            world.step(step);
            if let Step::Other { key, put } = step
                && let Some(key) = key.checked_sub(KEYS.len())
            {
                foreign.insert(FOREIGN[key], *put);
            }
        }
        world.sets.iter_mut().for_each(|set| set.broken = false);
        for _ in 0..4 {
            (0..SETS).for_each(|set| world.pass(set, usize::MAX));
        }
        let before = world.revision;
        (0..SETS).for_each(|set| world.pass(set, usize::MAX));
        prop_assert_eq!(before, world.revision, "they do not come to rest");
        for key in KEYS {
            // An owner older than whoever declares a key has it, and declares that it is not there.
            let holder = world.sets.iter().find(|set| set.owns || set.declared.contains_key(key));
            let value = holder.and_then(|set| set.declared.get(key));
            let found = world.store.get(key.as_bytes()).map(|held| &held.value);
            match (value, holder) {
                (None, None) => prop_assert!(found.is_none() || !world.ours.contains(key), "{} was forgotten", key),
                (value, _) => prop_assert_eq!(found, value, "{}", key),
            }
        }
        for (key, put) in foreign {
            let found = world.store.contains_key(key.as_bytes());
            prop_assert_eq!(found, put && owner.is_none(), "{}", key);
        }
    }
}
