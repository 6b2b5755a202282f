//! Which keys a call is about, and the namespace that a client's keys lie in.

use bytes::Bytes;
use mainstay_proto::mvccpb::KeyValue;

/// etcd's word for "to the last key there is".
const TO_THE_END: &[u8] = &[0];

/// A key, or the keys from one up to another. The form is etcd's: no end is the one key, and a zero
/// byte as the end leaves the range open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) key: Bytes,
    pub(crate) end: Bytes,
}

impl Keys {
    pub(crate) fn one(key: &[u8]) -> Keys {
        Keys {
            key: Bytes::copy_from_slice(key),
            end: Bytes::new(),
        }
    }

    /// All that begin with `key`; an empty one is that of every key.
    pub(crate) fn with_prefix(self) -> Keys {
        let end = after_prefix(&self.key);
        Keys {
            end,
            ..self.onwards()
        }
    }

    /// `key` and all after it.
    pub(crate) fn onwards(self) -> Keys {
        let key = match self.key.is_empty() {
            // etcd takes no empty key; a zero byte is the least there is.
            true => Bytes::from_static(TO_THE_END),
            false => self.key,
        };
        Keys {
            key,
            end: Bytes::from_static(TO_THE_END),
        }
    }

    /// `key` and all after it that come before `end`.
    pub(crate) fn until(self, end: &[u8]) -> Keys {
        Keys {
            key: self.key,
            end: Bytes::copy_from_slice(end),
        }
    }
}

/// The least key that comes after all that begin with `prefix`: the prefix with its last byte that
/// can grow grown, and what follows it cut off.
fn after_prefix(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bytes::from(end);
        }
    }
    Bytes::from_static(TO_THE_END)
}

/// What stands before each key of a client without its knowing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Namespace(Bytes);

impl Namespace {
    pub(crate) fn new(prefix: &[u8]) -> Namespace {
        Namespace(Bytes::copy_from_slice(prefix))
    }

    /// A namespace within this one.
    pub(crate) fn within(&self, prefix: &[u8]) -> Namespace {
        Namespace(self.key(prefix))
    }

    pub(crate) fn key(&self, key: &[u8]) -> Bytes {
        match self.0.is_empty() {
            true => Bytes::copy_from_slice(key),
            false => Bytes::from([&self.0[..], key].concat()),
        }
    }

    pub(crate) fn keys(&self, keys: &Keys) -> Keys {
        if self.0.is_empty() {
            return keys.clone();
        }
        let end = match &keys.end[..] {
            [] => Bytes::new(),
            TO_THE_END => after_prefix(&self.0),
            end => self.key(end),
        };
        let key = match (&keys.key[..], keys.end.is_empty()) {
            // From the least key on: that of the namespace is the prefix itself.
            (TO_THE_END, false) => self.0.clone(),
            (key, _) => self.key(key),
        };
        Keys { key, end }
    }

    /// The key as the client knows it.
    pub(crate) fn strip(&self, key: Bytes) -> Bytes {
        match key.starts_with(&self.0) {
            true => key.slice(self.0.len()..),
            false => key,
        }
    }

    pub(crate) fn strip_of(&self, mut kv: KeyValue) -> KeyValue {
        kv.key = self.strip(kv.key);
        kv
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_key_that_lacks_it() {
        let end = |prefix: &[u8]| Keys::one(prefix).with_prefix().end.to_vec();
        assert_eq!(end(b"ab"), b"ac");
        assert_eq!(end(b"a\xff\xff"), b"b");
        assert_eq!(end(b"\xff"), TO_THE_END);
        assert_eq!(end(b""), TO_THE_END);
        assert_eq!(Keys::one(b"").with_prefix().key, TO_THE_END);
    }

    #[test]
    fn a_namespace_holds_every_range_inside() {
        let namespace = Namespace::new(b"app/");
        let keys = |keys: Keys| {
            let inside = namespace.keys(&keys);
            (inside.key.to_vec(), inside.end.to_vec())
        };
        assert_eq!(keys(Keys::one(b"k")), (b"app/k".to_vec(), Vec::new()));
        let all = (b"app/".to_vec(), b"app0".to_vec());
        assert_eq!(keys(Keys::one(b"").with_prefix()), all);
        assert_eq!(keys(Keys::one(b"").onwards()), all);
        let some = (b"app/k".to_vec(), b"app/l".to_vec());
        assert_eq!(keys(Keys::one(b"k").with_prefix()), some);
        assert_eq!(keys(Keys::one(b"k").until(b"l")), some);
        let rest = (b"app/k".to_vec(), b"app0".to_vec());
        assert_eq!(keys(Keys::one(b"k").onwards()), rest);
    }

    #[test]
    fn a_key_comes_back_without_the_namespace() {
        let namespace = Namespace::new(b"app/").within(b"one/");
        assert_eq!(namespace.strip(namespace.key(b"k")), "k");
        assert_eq!(namespace.strip(namespace.key(b"")), "");
    }
}
