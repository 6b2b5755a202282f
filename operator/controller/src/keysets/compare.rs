//! What is wanted against what is there: which keys are to be written or deleted, which belong to
//! other sets, and what the status must tell before any of it is done. A function; it decides only.
//!
//! Two promises are tested over a simulated store, with crashes between any two steps: a key that a
//! set has written and no longer declares is deleted, and a key that it has not written stays unless
//! the set owns its prefix.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mainstay_operator_api::keyset::{KeyConflict, Unlisted};

use super::claims::{Claim, Claims};

/// A key of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub value: Bytes,
    pub mod_revision: i64,
    /// It would go with a lease; nothing that is declared may.
    pub leased: bool,
}

/// Keys of the store, without the prefix.
pub type Store = BTreeMap<Bytes, Held>;

/// All that is looked at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub prefix: &'a str,
    pub wanted: &'a BTreeMap<String, Bytes>,
    /// Whether all that is declared is known. If not, nothing is deleted.
    pub whole: bool,
    pub managed: &'a BTreeSet<String>,
    /// Those of `managed` that the set has announced and not written since.
    pub unwritten: &'a BTreeSet<String>,
    pub unlisted: Unlisted,
    /// To be taken after the store was read: who has written what is there is known then.
    pub claims: &'a Claims,
    /// Keys that are left alone for now.
    pub resting: &'a BTreeSet<Bytes>,
    /// Keys whose change the store has refused: not tried now.
    pub refused: &'a BTreeSet<Bytes>,
    pub store: &'a Store,
}

/// A write, valid only if the key has not been changed since it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Without the prefix.
    pub key: Bytes,
    /// `None` deletes it.
    pub value: Option<Bytes>,
    /// The revision that the key was seen at; 0 if it was not there.
    pub since: i64,
    /// Whether the key had its value, or was away, before somebody else changed that; if what is
    /// declared has not changed either.
    pub is_drift: bool,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub changes: Vec<Change>,
    pub conflicts: Vec<KeyConflict>,
    /// What the status must have as managed before the changes are carried out.
    pub managed: BTreeSet<String>,
    /// Keys that are as wanted.
    pub in_sync: usize,
    /// Keys that are not, and rest.
    pub resting: usize,
    /// Keys that are not, and whose change was refused.
    pub refused: BTreeSet<Bytes>,
}

/// What is to be done.
pub fn compare(view: &View<'_>) -> Difference {
    let mut difference = Difference::default();
    for (key, value) in view.wanted {
        match view.claim(key.as_bytes()) {
            Claim::Older(name) => {
                difference.conflicts.push(KeyConflict {
                    key: key.clone(),
                    held_by: name.to_owned(),
                });
                view.leave(key, &mut difference);
            }
            Claim::None | Claim::Younger => view.put(key, value, &mut difference),
        }
    }
    for key in view
        .managed
        .difference(&view.wanted.keys().cloned().collect())
    {
        if !view.whole {
            // It may be declared by what is not known now.
            difference.managed.insert(key.clone());
        } else if matches!(view.claim(key.as_bytes()), Claim::Older(_)) {
            view.leave(key, &mut difference);
        } else if let Some(held) = view.store.get(key.as_bytes()) {
            // A younger set that declares it writes it anew: it cannot answer for it yet.
            difference.managed.insert(key.clone());
            view.delete(key.as_bytes(), held, false, &mut difference);
        }
    }
    if view.whole && view.unlisted == Unlisted::Delete {
        view.sweep(&mut difference);
    }
    difference
}

impl View<'_> {
    fn claim(&self, key: &[u8]) -> Claim<'_> {
        self.claims.of_key(&[self.prefix.as_bytes(), key].concat())
    }

    /// Leaves a key to an older set. It stays managed until that one answers for it: it may change its
    /// mind before it has written it.
    fn leave(&self, key: &str, difference: &mut Difference) {
        let whole = format!("{}{key}", self.prefix);
        if self.managed.contains(key) && !self.claims.is_taken(whole.as_bytes()) {
            difference.managed.insert(key.to_owned());
        }
    }

    fn put(&self, key: &str, value: &Bytes, difference: &mut Difference) {
        let held = self.store.get(key.as_bytes());
        // What another has written is written anew where a younger set may be about to delete it: its
        // deletion was decided by what is no longer there then.
        let is_new = !self.managed.contains(key) || self.unwritten.contains(key);
        let whole = [self.prefix.as_bytes(), key.as_bytes()].concat();
        let is_adopted = is_new && self.claims.is_swept(&whole);
        let as_wanted = held.is_some_and(|held| held.value == *value && !held.leased);
        let in_sync = as_wanted && !is_adopted;
        if !in_sync && self.refused.contains(key.as_bytes()) && !self.managed.contains(key) {
            // It is not the set's before it can be written.
            let key = Bytes::copy_from_slice(key.as_bytes());
            difference.refused.insert(key);
            return;
        }
        difference.managed.insert(key.to_owned());
        if in_sync {
            difference.in_sync += 1;
            return;
        }
        self.change(
            Change {
                key: Bytes::copy_from_slice(key.as_bytes()),
                value: Some(value.clone()),
                since: held.map_or(0, |held| held.mod_revision),
                is_drift: self.managed.contains(key) && !as_wanted,
            },
            difference,
        );
    }

    fn delete(&self, key: &[u8], held: &Held, is_drift: bool, difference: &mut Difference) {
        self.change(
            Change {
                key: Bytes::copy_from_slice(key),
                value: None,
                since: held.mod_revision,
                is_drift,
            },
            difference,
        );
    }

    fn change(&self, change: Change, difference: &mut Difference) {
        if self.resting.contains(&change.key) {
            difference.resting += 1;
        } else if self.refused.contains(&change.key) {
            difference.refused.insert(change.key);
        } else {
            difference.changes.push(change);
        }
    }

    /// Deletes what nobody has declared.
    fn sweep(&self, difference: &mut Difference) {
        let declared = |key: &[u8]| {
            let text = std::str::from_utf8(key).unwrap_or_default();
            self.wanted.contains_key(text) || self.managed.contains(text)
        };
        for (key, held) in self.store {
            if !declared(key) && !matches!(self.claim(key), Claim::Older(_)) {
                self.delete(key, held, true, difference);
            }
        }
    }
}

/// What is managed once these keys have been changed: those that are deleted no longer are.
pub fn managed_after(difference: &Difference, done: &BTreeSet<Bytes>) -> BTreeSet<String> {
    let changes = difference.changes.iter();
    let gone = changes.filter(|change| change.value.is_none() && done.contains(&change.key));
    let gone: BTreeSet<&[u8]> = gone.map(|change| &change.key[..]).collect();
    let managed = difference.managed.iter();
    managed
        .filter(|key| !gone.contains(key.as_bytes()))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests;
