//! What was applied, so that a change by anybody else is seen.
//!
//! The API server keeps with each object which fields this operator owns. Whoever else changes or
//! drops one takes it out of that list. So an object is as it was left exactly if the list is; no
//! field needs to be compared, and what defaults and webhooks add or rewrite is no difference.
//!
//! It lives in memory. After a start everything is applied once more, which changes nothing where
//! nothing differs.

use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::apply::MANAGER;

/// One for the process: by the uid of a cluster, and by what an object is to it.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<HashMap<String, HashMap<String, Entry>>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    uid: String,
    wanted: [u8; 32],
    owned: [u8; 32],
}

impl Entry {
    fn of(wanted: &Value, found: &ObjectMeta) -> Option<Entry> {
        Some(Entry {
            uid: found.uid.clone()?,
            wanted: digest(wanted),
            owned: owned(found)?,
        })
    }
}

impl Ledger {
    /// Notes what was asked for and what the API server made of it.
    pub fn applied(&self, cluster: &str, part: &str, wanted: &Value, found: &ObjectMeta) {
        let Some(entry) = Entry::of(wanted, found) else {
            return;
        };
        let mut clusters = self.0.lock();
        let parts = clusters.entry(cluster.to_owned()).or_default();
        parts.insert(part.to_owned(), entry);
    }

    /// Whether an object is what is wanted, as far as this operator owns it.
    pub fn holds(&self, cluster: &str, part: &str, wanted: &Value, found: &ObjectMeta) -> bool {
        let Some(now) = Entry::of(wanted, found) else {
            return false;
        };
        let clusters = self.0.lock();
        let known = clusters.get(cluster).and_then(|parts| parts.get(part));
        known == Some(&now)
    }

    /// Drops a cluster that is gone.
    pub fn forget(&self, cluster: &str) {
        self.0.lock().remove(cluster);
    }
}

/// A digest of the fields that this operator owns; `None` if it owns none.
fn owned(found: &ObjectMeta) -> Option<[u8; 32]> {
    let entries = found.managed_fields.as_ref()?;
    let own = entries.iter().find(|entry| {
        entry.manager.as_deref() == Some(MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    })?;
    Some(digest(&own.fields_v1.as_ref()?.0))
}

/// Rendering and the API server put fields into the same order each time.
fn digest(value: &Value) -> [u8; 32] {
    Sha256::digest(value.to_string()).into()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
    use serde_json::json;

    use super::*;

    fn meta(uid: &str, fields: Value) -> ObjectMeta {
        ObjectMeta {
            uid: Some(uid.into()),
            managed_fields: Some(vec![ManagedFieldsEntry {
                manager: Some(MANAGER.into()),
                operation: Some("Apply".into()),
                fields_v1: Some(FieldsV1(fields)),
                ..ManagedFieldsEntry::default()
            }]),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn a_change_of_the_wish_or_of_what_is_owned_is_a_difference() {
        let ledger = Ledger::default();
        let (wanted, found) = (json!({"a": 1}), meta("u", json!({"f:a": {}})));
        let holds = |wanted: &Value, found: &ObjectMeta| ledger.holds("c", "svc", wanted, found);
        assert!(!holds(&wanted, &found));
        ledger.applied("c", "svc", &wanted, &found);
        assert!(holds(&wanted, &found));
        assert!(!holds(&json!({"a": 2}), &found));
        assert!(!holds(&wanted, &meta("u", json!({}))));
        assert!(!holds(&wanted, &meta("v", json!({"f:a": {}}))));
        assert!(!holds(&wanted, &ObjectMeta::default()));
        ledger.forget("c");
        assert!(!holds(&wanted, &found));
    }
}
