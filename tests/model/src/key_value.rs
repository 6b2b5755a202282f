//! Key-value pairs and events as etcd's `mvccpb` has them, in printable text.

use serde::{Deserialize, Serialize};

/// One version of a key. Keys and values are text: the load generator writes nothing else, and a
/// history must be readable by whoever has to explain it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyValue {
    pub key: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub create_revision: i64,
    pub mod_revision: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub version: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lease: i64,
}

/// What happened to one key at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Event {
    pub kind: EventKind,
    /// For a delete only the key and the modification revision are set, as in etcd.
    pub kv: KeyValue,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_kv: Option<KeyValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    Put,
    Delete,
}

impl Event {
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.kv.mod_revision
    }

    /// A put that made the key, by the test every client uses.
    #[must_use]
    pub fn is_create(&self) -> bool {
        self.kind == EventKind::Put && self.kv.create_revision == self.kv.mod_revision
    }

    /// The event without the value it replaced, which only some watchers ask for.
    #[must_use]
    pub fn without_prev(&self) -> Event {
        Event {
            kind: self.kind,
            kv: self.kv.clone(),
            prev_kv: None,
        }
    }
}

/// Whether `key` lies in etcd's interval: an empty end is one key, an end of one zero byte is
/// every key from `start` on, anything else is exclusive.
#[must_use]
pub fn in_range(key: &str, start: &str, end: &str) -> bool {
    match end {
        "" => key == start,
        "\0" => key >= start,
        _ => key >= start && key < end,
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_follow_etcd() {
        assert!(in_range("a", "a", ""));
        assert!(!in_range("ab", "a", ""));
        assert!(in_range("zz", "a", "\0"));
        assert!(!in_range("0", "a", "\0"));
        assert!(in_range("a1", "a", "b"));
        assert!(!in_range("b", "a", "b"));
        assert!(
            !in_range("a", "b", "a"),
            "an inverted interval holds nothing"
        );
    }
}
