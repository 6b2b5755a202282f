//! A leaf of the index: up to [`LEAF_KEYS_MAX`] keys side by side in one buffer.
//!
//! Keys lie end to end, so a key costs its bytes, four for its end and its [`Latest`], and a
//! binary search stays within a few cache lines.

use std::cmp::Ordering;

use crate::revision::Revision;

/// Keys of a leaf before it is split.
pub(super) const LEAF_KEYS_MAX: usize = 64;
/// Bytes of keys in a leaf before it is split, if it has more than a few.
const LEAF_BYTES_MAX: usize = 64 * 1024;
/// Slots by which a full leaf grows: doubling would leave a third of the memory unused.
const GROW_KEYS: usize = 8;

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
    bytes: Vec<u8>,
    ends: Vec<u32>,
    latest: Vec<Latest>,
}

impl Leaf {
    pub fn len(&self) -> usize {
        self.latest.len()
    }

    pub fn full(&self) -> bool {
        self.len() > LEAF_KEYS_MAX || (self.len() > 3 && self.bytes.len() > LEAF_BYTES_MAX)
    }

    pub fn live(&self) -> u64 {
        self.latest.iter().filter(|l| !l.tombstone()).count() as u64
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1)
            .and_then(|i| self.ends.get(i))
            .map_or(0, |end| *end as usize)
    }

    pub fn key(&self, at: usize) -> &[u8] {
        let end = self.ends.get(at).map_or(0, |end| *end as usize);
        self.bytes.get(self.start(at)..end).unwrap_or_default()
    }

    pub fn get(&self, at: usize) -> Option<&Latest> {
        self.latest.get(at)
    }

    pub fn get_mut(&mut self, at: usize) -> Option<&mut Latest> {
        self.latest.get_mut(at)
    }

    /// Position of the key, or where it would stand.
    pub fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.key(middle).cmp(key) {
                Ordering::Equal => return Ok(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    pub fn insert(&mut self, at: usize, key: &[u8], latest: Latest) {
        if self.latest.len() == self.latest.capacity() {
            self.latest.reserve_exact(GROW_KEYS);
            self.ends.reserve_exact(GROW_KEYS);
        }
        if self.bytes.len() + key.len() > self.bytes.capacity() {
            self.bytes.reserve_exact(key.len() * GROW_KEYS);
        }
        let start = self.start(at);
        self.bytes.splice(start..start, key.iter().copied());
        self.ends.insert(at, start as u32);
        for end in self.ends.iter_mut().skip(at) {
            *end += key.len() as u32;
        }
        self.latest.insert(at, latest);
    }

    pub fn remove(&mut self, at: usize) -> Latest {
        let (start, len) = (self.start(at), self.key(at).len());
        self.bytes.drain(start..start + len);
        self.ends.remove(at);
        for end in self.ends.iter_mut().skip(at) {
            *end -= len as u32;
        }
        self.latest.remove(at)
    }

    /// Cuts the keys from `at` on off into a leaf of their own.
    pub fn split(&mut self, at: usize) -> Leaf {
        let start = self.start(at);
        let right = Leaf {
            bytes: self.bytes.split_off(start),
            ends: self
                .ends
                .split_off(at)
                .iter()
                .map(|end| end - start as u32)
                .collect(),
            latest: self.latest.split_off(at),
        };
        self.bytes
            .shrink_to(self.bytes.len() + self.bytes.len() / 4);
        self.ends.shrink_to(self.ends.len() + GROW_KEYS);
        self.latest.shrink_to(self.latest.len() + GROW_KEYS);
        right
    }

    pub fn append(&mut self, right: &Leaf) {
        let offset = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&right.bytes);
        self.ends.extend(right.ends.iter().map(|end| end + offset));
        self.latest.extend_from_slice(&right.latest);
    }

    /// Adds a key above all others, in a bulk load.
    pub fn push(&mut self, key: &[u8], latest: Latest) {
        self.insert(self.len(), key, latest);
    }

    #[cfg(test)]
    /// Memory it holds, in bytes.
    pub fn allocated(&self) -> usize {
        self.bytes.capacity()
            + self.ends.capacity() * size_of::<u32>()
            + self.latest.capacity() * size_of::<Latest>()
    }
}
