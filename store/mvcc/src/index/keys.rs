//! Sorted keys side by side in one buffer, for a node of the index.
//!
//! A key costs its bytes and four for its end, and a binary search stays within a few cache lines,
//! where boxed keys would cost a miss at every step.

use std::cmp::Ordering;

/// Slots by which full vectors grow: doubling would leave a third of the memory unused.
pub(super) const GROW_KEYS: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Keys {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes.len()
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

    pub fn insert(&mut self, at: usize, key: &[u8]) {
        if self.ends.len() == self.ends.capacity() {
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
    }

    pub fn remove(&mut self, at: usize) {
        let (start, len) = (self.start(at), self.key(at).len());
        self.bytes.drain(start..start + len);
        self.ends.remove(at);
        for end in self.ends.iter_mut().skip(at) {
            *end -= len as u32;
        }
    }

    /// Cuts the keys from `at` on off.
    pub fn split_off(&mut self, at: usize) -> Keys {
        let start = self.start(at);
        let right = Keys {
            bytes: self.bytes.split_off(start),
            ends: self
                .ends
                .split_off(at)
                .iter()
                .map(|end| end - start as u32)
                .collect(),
        };
        self.bytes
            .shrink_to(self.bytes.len() + self.bytes.len() / 4);
        self.ends.shrink_to(self.ends.len() + GROW_KEYS);
        right
    }

    pub fn append(&mut self, right: &Keys) {
        let offset = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&right.bytes);
        self.ends.extend(right.ends.iter().map(|end| end + offset));
    }

    /// Memory it holds, in bytes.
    #[cfg(test)]
    pub fn allocated(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<u32>()
    }
}

/// The shortest key above `below` and not above `key`, which is above `below`.
pub(super) fn separator<'a>(below: &[u8], key: &'a [u8]) -> &'a [u8] {
    let common = below.iter().zip(key).take_while(|(a, b)| a == b).count();
    key.get(..common + 1).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_is_short_and_between() {
        assert_eq!(separator(b"apple", b"apricot"), b"apr");
        assert_eq!(separator(b"a", b"ab"), b"ab");
        assert_eq!(separator(b"", b"b"), b"b");
    }
}
