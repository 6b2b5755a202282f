//! Lists of revisions for keys that are written often.
//!
//! A read at an older revision follows links from record to record. That is cheap for a key with a
//! few versions; a key beyond [`LISTED_FROM`] gets a list, so that its reads cost a binary search
//! and at most `LISTED_FROM` links for what is older than the list.

use std::collections::{HashMap, VecDeque};

use crate::revision::Revision;

/// Uncompacted versions from which a key has a list.
pub(crate) const LISTED_FROM: u32 = 32;

/// A version in a list: 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub revision: Revision,
    pub tombstone: bool,
}

/// Where a reader of an older revision begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// This is the newest record not after the revision.
    Exactly(Version),
    /// A record after the revision: follow its links.
    Follow(Revision),
}

#[derive(Debug, Default)]
pub(crate) struct Versions {
    lists: HashMap<Box<[u8]>, VecDeque<Version>>,
}

impl Versions {
    /// Notes a new version of a key that has `chain` uncompacted ones.
    pub fn note(&mut self, key: &[u8], chain: u32, version: Version) {
        if let Some(list) = self.lists.get_mut(key) {
            list.push_back(version);
        } else if chain > LISTED_FROM {
            self.lists.insert(Box::from(key), VecDeque::from([version]));
        }
    }

    /// Where to begin for `main`, given that the newest record of the key is after it.
    pub fn start(&self, key: &[u8], latest: Revision, main: i64) -> Start {
        let Some(list) = self.lists.get(key) else {
            return Start::Follow(latest);
        };
        let after = list.partition_point(|v| v.revision.main <= main);
        match after.checked_sub(1).and_then(|at| list.get(at)) {
            Some(version) => Start::Exactly(*version),
            None => Start::Follow(list.front().map_or(latest, |v| v.revision)),
        }
    }

    /// Forgets versions up to `through`; a list left short goes with them.
    pub fn forget(&mut self, key: &[u8], through: Revision) {
        let Some(list) = self.lists.get_mut(key) else {
            return;
        };
        while list.front().is_some_and(|v| v.revision <= through) {
            list.pop_front();
        }
        if list.len() < LISTED_FROM as usize / 2 {
            self.lists.remove(key);
        } else {
            list.shrink_to(list.len() * 2);
        }
    }

    pub fn list(&self, key: &[u8]) -> impl Iterator<Item = &Version> {
        self.lists.get(key).into_iter().flatten()
    }

    /// Puts back a list read from a checkpoint.
    pub fn restore(&mut self, key: &[u8], list: VecDeque<Version>) {
        if !list.is_empty() {
            self.lists.insert(Box::from(key), list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(main: i64) -> Version {
        Version {
            revision: Revision::new(main, 0),
            tombstone: false,
        }
    }

    #[test]
    fn a_list_begins_late_and_ends_early() {
        let (mut versions, key) = (Versions::default(), b"k".as_slice());
        for main in 1..=100 {
            versions.note(key, main as u32, version(main));
        }
        let latest = Revision::new(100, 0);
        assert_eq!(versions.start(key, latest, 60), Start::Exactly(version(60)));
        assert_eq!(versions.start(key, latest, 33), Start::Exactly(version(33)));
        assert_eq!(
            versions.start(key, latest, 32),
            Start::Follow(Revision::new(33, 0))
        );
        versions.forget(key, Revision::new(80, 0));
        assert_eq!(versions.start(key, latest, 90), Start::Exactly(version(90)));
        versions.forget(key, Revision::new(90, 0));
        assert_eq!(versions.start(key, latest, 95), Start::Follow(latest));
    }
}
