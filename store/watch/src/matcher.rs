//! Which of many watched keys and ranges does a key fall into?

use std::collections::HashMap;

use bytes::Bytes;

use crate::interval::{End, Intervals};

/// What a watch looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    Key(Bytes),
    Range(Bytes, End),
}

impl Scope {
    /// etcd's reading of a key and a range end: no key is the zero byte, a range end of one zero
    /// byte is no end. `None` if there can be nothing inside. Both are copied, since a watch
    /// outlives by far the network buffer its request came in.
    pub(crate) fn new(key: &[u8], range_end: &[u8]) -> Option<Scope> {
        let key = if key.is_empty() { b"\0" } else { key };
        let start = Bytes::copy_from_slice(key);
        match range_end {
            b"" => Some(Scope::Key(start)),
            b"\0" => Some(Scope::Range(start, End::Never)),
            end if key < end => Some(Scope::Range(
                start,
                End::Before(Bytes::copy_from_slice(end)),
            )),
            _ => None,
        }
    }

    /// The key and range end that stand for it.
    pub(crate) fn range(&self) -> (&[u8], &[u8]) {
        match self {
            Scope::Key(key) => (key, b""),
            Scope::Range(start, End::Never) => (start, b"\0"),
            Scope::Range(start, End::Before(end)) => (start, end),
        }
    }
}

/// One value for each scope: keys by hash, ranges by interval.
#[derive(Debug)]
pub(crate) struct Matcher<V> {
    keys: HashMap<Bytes, V>,
    ranges: Intervals<V>,
}

impl<V> Default for Matcher<V> {
    fn default() -> Matcher<V> {
        Matcher {
            keys: HashMap::new(),
            ranges: Intervals::default(),
        }
    }
}

impl<V: Default> Matcher<V> {
    pub(crate) fn entry(&mut self, scope: &Scope) -> &mut V {
        match scope {
            Scope::Key(key) => self.keys.entry(key.clone()).or_default(),
            Scope::Range(start, end) => self.ranges.entry(start, end),
        }
    }

    pub(crate) fn get_mut(&mut self, scope: &Scope) -> Option<&mut V> {
        match scope {
            Scope::Key(key) => self.keys.get_mut(key),
            Scope::Range(start, end) => self.ranges.get_mut(start, end),
        }
    }

    pub(crate) fn remove(&mut self, scope: &Scope) {
        match scope {
            Scope::Key(key) => drop(self.keys.remove(key)),
            Scope::Range(start, end) => self.ranges.remove(start, end),
        }
    }

    /// Calls `found` with the value of every scope that `key` falls into.
    pub(crate) fn visit(&self, key: &[u8], mut found: impl FnMut(&V)) {
        if let Some(value) = self.keys.get(key) {
            found(value);
        }
        self.ranges.visit(key, &mut found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_etcd_reads_it() {
        let bytes = Bytes::from_static;
        assert_eq!(Scope::new(b"", b""), Some(Scope::Key(bytes(b"\0"))));
        assert_eq!(
            Scope::new(b"", b"\0"),
            Some(Scope::Range(bytes(b"\0"), End::Never))
        );
        let before = End::Before(bytes(b"b"));
        assert_eq!(
            Scope::new(b"a", b"b"),
            Some(Scope::Range(bytes(b"a"), before))
        );
        assert_eq!(Scope::new(b"b", b"b"), None);
        assert_eq!(Scope::new(b"b", b"a"), None);
    }
}
