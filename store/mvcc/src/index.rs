//! The index in memory: every key that has a record, its newest state, and where older ones begin.
//!
//! Deleted keys stay until compaction removes their tombstone, because a read at a revision before
//! the deletion starts from it.

pub(crate) mod checkpoint;
mod keys;
pub(crate) mod leaf;
pub(crate) mod tree;
pub(crate) mod versions;

use std::ops::ControlFlow;

pub(crate) use leaf::Latest;

use tree::Tree;
use versions::{Start, Version, Versions};

use crate::{range::Bounds, record::Record, revision::Revision};

#[derive(Debug, Default)]
pub(crate) struct Index {
    pub tree: Tree,
    pub versions: Versions,
}

impl Index {
    pub fn get(&self, key: &[u8]) -> Option<&Latest> {
        self.tree.get(key)
    }

    /// Notes a new record of a key. One the index already knows changes nothing, so that records
    /// may be replayed over a checkpoint that was written while they were.
    pub fn note(&mut self, key: &[u8], latest: Latest) {
        let mut chain = None;
        self.tree.set(key, |before| match before {
            Some(known) if known.revision() >= latest.revision() => *known,
            before => {
                let length = before.map_or(0, |known| known.chain).saturating_add(1);
                chain = Some(length);
                Latest {
                    chain: length,
                    ..latest
                }
            }
        });
        if let Some(chain) = chain {
            let version = Version {
                revision: latest.revision(),
                tombstone: latest.tombstone(),
            };
            self.versions.note(key, chain, version);
        }
    }

    /// Notes that a compaction removes a record that is not the newest of its key.
    pub fn forget_version(&mut self, key: &[u8], revision: Revision) {
        if self.tree.get(key).is_some() {
            self.tree.set(key, |known| {
                let known = known.copied().unwrap_or_default();
                Latest {
                    chain: known.chain.saturating_sub(1),
                    ..known
                }
            });
            self.versions.forget(key, revision);
        }
    }

    /// Notes that a compaction removes a tombstone. The key goes unless it has come back since.
    pub fn forget_tombstone(&mut self, key: &[u8], revision: Revision) {
        match self.tree.get(key) {
            Some(latest) if latest.tombstone() && latest.revision() == revision => {
                self.tree.remove(key);
                self.versions.forget(key, revision);
            }
            _ => self.forget_version(key, revision),
        }
    }

    /// Where a reader at `main` begins for a key whose newest record is after it.
    pub fn start(&self, key: &[u8], latest: &Latest, main: i64) -> Start {
        self.versions.start(key, latest.revision(), main)
    }

    pub fn count(&self, bounds: &Bounds<'_>) -> u64 {
        match bounds {
            Bounds::Empty => 0,
            Bounds::One(key) => u64::from(self.get(key).is_some_and(|l| !l.tombstone())),
            Bounds::Span { from, end } => self.tree.count(from, *end),
        }
    }

    pub fn walk(
        &self,
        bounds: &Bounds<'_>,
        live_only: bool,
        mut visit: impl FnMut(&[u8], &Latest) -> ControlFlow<()>,
    ) {
        match bounds {
            Bounds::Empty => {}
            Bounds::One(key) => {
                if let Some(latest) = self.get(key)
                    && !(live_only && latest.tombstone())
                {
                    let _ = visit(key, latest);
                }
            }
            Bounds::Span { from, end } => self.tree.walk(from, *end, live_only, visit),
        }
    }
}

impl Latest {
    pub fn of(record: &Record) -> Latest {
        Latest {
            main: record.revision.main,
            sub: record.revision.sub,
            create: record.create,
            version: if record.tombstone { 0 } else { record.version },
            lease: record.lease,
            value_len: u32::try_from(record.value.len()).unwrap_or(u32::MAX),
            chain: 0,
        }
    }
}
