//! A leaf of the index: up to [`LEAF_KEYS_MAX`] keys with the newest state of each.

use super::keys::{GROW_KEYS, Keys};
use crate::revision::Revision;

/// Keys of a leaf before it is split.
pub(super) const LEAF_KEYS_MAX: usize = 64;
/// Bytes of keys in a leaf before it is split, if it has more than a few.
const LEAF_BYTES_MAX: usize = 64 * 1024;

/// The newest record of a key, without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Latest {
    pub main: i64,
    pub create: i64,
    /// 0 marks a tombstone.
    pub version: i64,
    pub lease: i64,
    pub sub: u32,
    pub value_len: u32,
    /// Records of this key that are not yet removed, about; decides who gets a list of versions.
    pub chain: u32,
}

impl Latest {
    pub fn revision(&self) -> Revision {
        Revision::new(self.main, self.sub)
    }

    pub fn tombstone(&self) -> bool {
        self.version == 0
    }
}

#[derive(Debug, Default)]
pub(super) struct Leaf {
    keys: Keys,
    latest: Vec<Latest>,
}

impl Leaf {
    pub fn len(&self) -> usize {
        self.latest.len()
    }

    pub fn full(&self) -> bool {
        self.len() > LEAF_KEYS_MAX || (self.len() > 3 && self.keys.bytes() > LEAF_BYTES_MAX)
    }

    pub fn live(&self) -> u64 {
        self.latest.iter().filter(|l| !l.tombstone()).count() as u64
    }

    pub fn key(&self, at: usize) -> &[u8] {
        self.keys.key(at)
    }

    pub fn last_key(&self) -> &[u8] {
        self.keys.key(self.len().saturating_sub(1))
    }

    pub fn get(&self, at: usize) -> Option<&Latest> {
        self.latest.get(at)
    }

    pub fn get_mut(&mut self, at: usize) -> Option<&mut Latest> {
        self.latest.get_mut(at)
    }

    /// Position of the key, or where it would stand.
    pub fn find(&self, key: &[u8]) -> Result<usize, usize> {
        self.keys.find(key)
    }

    pub fn insert(&mut self, at: usize, key: &[u8], latest: Latest) {
        if self.latest.len() == self.latest.capacity() {
            self.latest.reserve_exact(GROW_KEYS);
        }
        self.keys.insert(at, key);
        self.latest.insert(at, latest);
    }

    pub fn remove(&mut self, at: usize) -> Latest {
        self.keys.remove(at);
        self.latest.remove(at)
    }

    /// Cuts the keys from `at` on off into a leaf of their own.
    pub fn split(&mut self, at: usize) -> Leaf {
        let right = Leaf {
            keys: self.keys.split_off(at),
            latest: self.latest.split_off(at),
        };
        self.latest.shrink_to(self.latest.len() + GROW_KEYS);
        right
    }

    pub fn append(&mut self, right: &Leaf) {
        self.keys.append(&right.keys);
        self.latest.extend_from_slice(&right.latest);
    }

    /// Adds a key above all others, in a bulk load.
    pub fn push(&mut self, key: &[u8], latest: Latest) {
        self.insert(self.len(), key, latest);
    }

    /// Memory it holds, in bytes.
    #[cfg(test)]
    pub fn allocated(&self) -> usize {
        self.keys.allocated() + self.latest.capacity() * size_of::<Latest>()
    }
}
