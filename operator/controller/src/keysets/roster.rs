//! All sets of a scope, for what they claim: as the watch has brought them, and as the passes of this
//! process have written them since. The watch comes late. Whoever writes a key has its claim here
//! before, so whoever takes the claims after it has read the store knows whose each key is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mainstay_operator_api::MainstayKeySet;
use mainstay_operator_api::keyset::MainstayKeySetStatus;

use crate::metrics::Object;

#[derive(Debug, Default)]
pub struct Roster {
    entries: HashMap<Object, Entry>,
    /// How many lists of all sets the watch has begun.
    lists: u64,
}

/// What is known of one name.
#[derive(Debug, Default)]
struct Entry {
    watched: Option<Arc<MainstayKeySet>>,
    written: Option<Written>,
    /// What both come to. Two, if one of them is a former set of the name.
    shown: Vec<Arc<MainstayKeySet>>,
}

#[derive(Debug)]
struct Written {
    set: Arc<MainstayKeySet>,
    /// In the time of which list.
    list: u64,
}

impl Roster {
    /// A set is like this by the watch; whether it claims anything else now.
    pub fn watched(&mut self, named: Object, set: Arc<MainstayKeySet>) -> bool {
        let entry = self.entries.entry(named).or_default();
        entry.watched = Some(set);
        entry.combine()
    }

    /// A pass works on the set with this status; whether it claims anything else now. To be told
    /// after the status is written and before the store is.
    pub fn written(
        &mut self,
        named: Object,
        set: &MainstayKeySet,
        status: &MainstayKeySetStatus,
    ) -> bool {
        let list = self.lists;
        let entry = self.entries.entry(named).or_default();
        let same = entry
            .written
            .as_ref()
            .filter(|known| claims_alike(&known.set, set, status));
        // Most passes change nothing of it, and a set is large.
        let set = match same {
            Some(known) => known.set.clone(),
            None => Arc::new(MainstayKeySet {
                metadata: set.metadata.clone(),
                spec: set.spec.clone(),
                status: Some(status.clone()),
            }),
        };
        entry.written = Some(Written { set, list });
        entry.combine()
    }

    /// The watch has seen a set go.
    pub fn gone(&mut self, named: &Object, set: &MainstayKeySet) {
        let Some(entry) = self.entries.get_mut(named) else {
            return;
        };
        entry.watched = None;
        // A later one of the name may be at work already.
        let is_it = |written: &Written| written.set.metadata.uid == set.metadata.uid;
        if entry.written.as_ref().is_none_or(is_it) {
            self.entries.remove(named);
        } else {
            entry.combine();
        }
    }

    /// The watch lists all sets anew.
    pub fn listing(&mut self) {
        self.lists += 1;
    }

    /// The sets that are not in the list; those that it could not know yet are not among them.
    pub fn missing(&self, there: &HashSet<Object>) -> Vec<Arc<MainstayKeySet>> {
        let missing = self
            .entries
            .iter()
            .filter(|(named, _)| !there.contains(*named));
        let known = missing.filter(|(_, entry)| {
            let written = entry.written.as_ref();
            written.is_none_or(|written| written.list < self.lists)
        });
        known
            .flat_map(|(_, entry)| entry.shown.iter().cloned())
            .collect()
    }

    /// All sets of a namespace.
    pub fn namespace(&self, namespace: &str) -> Vec<Arc<MainstayKeySet>> {
        let same = self
            .entries
            .iter()
            .filter(|(named, _)| named.namespace == namespace);
        same.flat_map(|(_, entry)| entry.shown.iter().cloned())
            .collect()
    }
}

impl Entry {
    /// Whether that has changed anything about claims.
    fn combine(&mut self) -> bool {
        let written = self.written.as_ref().map(|written| &written.set);
        let shown = match (&self.watched, written) {
            (None, None) => Vec::new(),
            (Some(set), None) | (None, Some(set)) => vec![set.clone()],
            (Some(watched), Some(written)) if watched.metadata.uid != written.metadata.uid => {
                vec![watched.clone(), written.clone()]
            }
            (Some(watched), Some(written)) => {
                // Nobody else writes the status; the spec may be newer by either.
                let is_newer = watched.metadata.generation > written.metadata.generation;
                vec![match (is_newer, &written.status) {
                    (true, Some(status)) if !claims_alike(watched, watched, status) => {
                        let mut set = MainstayKeySet::clone(watched);
                        set.status = Some(status.clone());
                        Arc::new(set)
                    }
                    (true, _) => watched.clone(),
                    (false, _) => written.clone(),
                }]
            }
        };
        let same = self.shown.len() == shown.len()
            && self.shown.iter().zip(&shown).all(|(before, now)| {
                let status = now.status.clone().unwrap_or_default();
                claims_alike(before, now, &status)
            });
        self.shown = shown;
        !same
    }
}

/// Whether a set claims the same as another state of it with this status.
fn claims_alike(
    known: &MainstayKeySet,
    set: &MainstayKeySet,
    status: &MainstayKeySetStatus,
) -> bool {
    let managed = known.status.as_ref().map(|status| &status.managed[..]);
    known.metadata.uid == set.metadata.uid
        && known.metadata.generation == set.metadata.generation
        && managed.unwrap_or_default() == status.managed
}

#[cfg(test)]
mod tests;
