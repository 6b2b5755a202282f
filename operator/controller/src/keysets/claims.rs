//! Which of several sets has a key. Sets of one cluster are all in its namespace; the older one has
//! what both declare, and a set with `unlisted: Delete` claims everything under its prefix.

use std::collections::BTreeSet;

use kube::ResourceExt;
use mainstay_operator_api::MainstayKeySet;
use mainstay_operator_api::keyset::Unlisted;

/// Whose a key is, seen from one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim<'a> {
    /// It is this set's, if it wants it.
    None,
    /// An older set has it.
    Older(&'a str),
    /// A younger set would take it, if this one did not want it.
    Younger,
}

/// What another set claims.
#[derive(Debug)]
struct Claimant {
    name: String,
    is_older: bool,
    /// Everything under it, if it claims all.
    prefix: Option<String>,
    keys: BTreeSet<String>,
    /// Keys that its status has.
    taken: BTreeSet<String>,
}

/// What other sets claim of the keys under a set's prefix.
#[derive(Debug, Default)]
pub struct Claims(Vec<Claimant>);

/// When it was made, to the second, and its name where that is not enough.
fn age(set: &MainstayKeySet) -> (i64, String) {
    let made = set.metadata.creation_timestamp.as_ref();
    let made = made.map_or(i64::MAX, |time| time.0.as_second());
    (made, set.name_any())
}

/// Whether two sets may declare the same key.
pub fn overlap(one: &MainstayKeySet, other: &MainstayKeySet) -> bool {
    let (one, other) = (&one.spec, &other.spec);
    one.cluster == other.cluster
        && (one.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&one.prefix))
}

impl Claims {
    /// Of all sets of the namespace, itself included or not.
    pub fn of<'a>(own: &MainstayKeySet, sets: impl Iterator<Item = &'a MainstayKeySet>) -> Claims {
        let others = sets.filter(|set| set.metadata.uid != own.metadata.uid && overlap(own, set));
        let claimants = others.map(|set| {
            let declared = set.spec.keys.iter().map(|key| &key.key);
            // What comes of entries is known by what the other set has written.
            let managed = set.status.iter().flat_map(|status| &status.managed);
            let prefix = &set.spec.prefix;
            let whole = |key: &String| format!("{prefix}{key}");
            let taken: BTreeSet<String> = managed.map(whole).collect();
            Claimant {
                name: set.name_any(),
                is_older: age(set) < age(own),
                prefix: (set.spec.unlisted == Unlisted::Delete).then(|| prefix.clone()),
                keys: declared.map(whole).chain(taken.clone()).collect(),
                taken,
            }
        });
        let mut claimants: Vec<Claimant> = claimants.collect();
        // The older ones first.
        claimants.sort_by_key(|claimant| !claimant.is_older);
        Claims(claimants)
    }

    /// Whether an older set's status has this key, so that it will not forget to delete it.
    pub fn is_taken(&self, key: &[u8]) -> bool {
        let text = std::str::from_utf8(key).unwrap_or_default();
        let mut older = self.0.iter().filter(|claimant| claimant.is_older);
        older.any(|claimant| claimant.taken.contains(text))
    }

    /// Whether a younger set may be about to delete it, not knowing yet whose it is: one that has the
    /// whole prefix, or one that has written it and declares it no longer.
    pub fn is_swept(&self, key: &[u8]) -> bool {
        let text = std::str::from_utf8(key).unwrap_or_default();
        let mut younger = self.0.iter().filter(|claimant| !claimant.is_older);
        younger.any(|claimant| {
            let whole = claimant.prefix.as_ref();
            whole.is_some_and(|prefix| key.starts_with(prefix.as_bytes()))
                || claimant.taken.contains(text)
        })
    }

    /// Whose this key is, with its prefix.
    pub fn of_key(&self, key: &[u8]) -> Claim<'_> {
        let text = std::str::from_utf8(key).ok();
        let claiming = self.0.iter().find(|claimant| {
            let whole = claimant.prefix.as_ref();
            whole.is_some_and(|prefix| key.starts_with(prefix.as_bytes()))
                || text.is_some_and(|key| claimant.keys.contains(key))
        });
        match claiming {
            Some(claimant) if claimant.is_older => Claim::Older(&claimant.name),
            Some(_) => Claim::Younger,
            None => Claim::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn set(name: &str, second: u8, spec: Value) -> MainstayKeySet {
        serde_json::from_value(json!({
            "apiVersion": "mainstay.dev/v1alpha1", "kind": "MainstayKeySet",
            "metadata": { "name": name, "uid": name,
                "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z") },
            "spec": spec,
        }))
        .unwrap()
    }

    fn of(prefix: &str, keys: &[&str]) -> Value {
        let keys = keys.iter().map(|key| json!({ "key": key, "value": "" }));
        json!({ "cluster": "db", "prefix": prefix, "keys": keys.collect::<Vec<_>>() })
    }

    #[test]
    fn the_older_set_has_a_key_and_the_name_decides_within_a_second() {
        let (a, b, c) = (
            set("a", 2, of("p/", &["x"])),
            set("b", 1, of("p/", &["x"])),
            set("c", 1, of("", &["p/x"])),
        );
        let all = [a, b, c];
        let whose = |own: usize| {
            Claims::of(&all[own], all.iter())
                .of_key(b"p/x")
                .to_owned_text()
        };
        assert_eq!(whose(0), "older b");
        assert_eq!(whose(1), "younger");
        assert_eq!(whose(2), "older b");
        let claims = Claims::of(&all[0], all.iter());
        assert_eq!(claims.of_key(b"p/y"), Claim::None);
    }

    #[test]
    fn a_set_that_owns_its_prefix_claims_all_of_it() {
        let mut whole = of("p/", &["x"]);
        whole["unlisted"] = json!("Delete");
        let (old, young) = (set("old", 1, whole), set("young", 2, of("p/q/", &["r"])));
        let sets = [old, young];
        let claims = Claims::of(&sets[1], sets.iter());
        assert_eq!(claims.of_key(b"p/q/r"), Claim::Older("old"));
        assert_eq!(
            Claims::of(&sets[0], sets.iter()).of_key(b"p/q/r"),
            Claim::Younger
        );
    }

    #[test]
    fn other_clusters_and_prefixes_claim_nothing() {
        let mut elsewhere = of("p/", &["x"]);
        elsewhere["cluster"] = json!("other");
        let sets = [
            set("a", 1, elsewhere),
            set("b", 1, of("q/", &["x"])),
            set("c", 2, of("p/", &["x"])),
        ];
        assert_eq!(
            Claims::of(&sets[2], sets.iter()).of_key(b"p/x"),
            Claim::None
        );
    }

    impl Claim<'_> {
        fn to_owned_text(self) -> String {
            match self {
                Claim::None => "nobody".to_owned(),
                Claim::Older(name) => format!("older {name}"),
                Claim::Younger => "younger".to_owned(),
            }
        }
    }
}
