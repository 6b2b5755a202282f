//! One object as its keys tell it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mainstay_proto::mvccpb::KeyValue;
use serde::{Deserialize, Serialize};

use super::{Format, Resource};
use crate::error::Error;

/// An object: what is wanted of it, and what has been made of it.
#[derive(Clone, Debug)]
pub struct Object<R: Resource> {
    pub name: String,
    /// What is wanted; of an object that is being deleted, what was wanted last.
    pub spec: R,
    /// What a controller has told of it.
    pub status: Option<R::Status>,
    /// The generation that the status is about; 0 without one.
    pub observed_generation: i64,
    /// The revision at which it was made. One of the same name that is made later has another.
    pub created: i64,
    /// The revision at which what is wanted was written last.
    pub generation: i64,
    pub finalizers: Vec<String>,
    pub(super) deleting: bool,
    /// Revisions of the other two keys; 0 where there is none.
    pub(super) told_at: i64,
    pub(super) held_at: i64,
}

impl<R: Resource> Object<R> {
    /// True if it is wanted no longer and only finalizers hold it.
    pub fn is_being_deleted(&self) -> bool {
        self.deleting
    }

    /// True if a controller has seen what is wanted now.
    pub fn is_observed(&self) -> bool {
        self.observed_generation == self.generation
    }
}

/// What the second key holds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told<S> {
    pub(super) observed_generation: i64,
    pub(super) status: S,
}

/// What the third key holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Held {
    pub(super) finalizers: Vec<String>,
    /// Of the object that it is about.
    pub(super) created: i64,
    pub(super) generation: i64,
    /// What was wanted then, as it was written, in base64.
    spec: String,
}

impl Held {
    pub(super) fn new(created: i64, generation: i64, spec: &[u8]) -> Held {
        Held {
            finalizers: Vec::new(),
            created,
            generation,
            spec: STANDARD.encode(spec),
        }
    }

    fn spec(&self) -> Result<Vec<u8>, String> {
        let decoded = STANDARD.decode(&self.spec);
        decoded.map_err(|error| format!("what was wanted last: {error}"))
    }

    pub(super) fn decode(kv: &KeyValue) -> Result<Held, Error> {
        serde_json::from_slice(&kv.value).map_err(|error| broken(kv, error.to_string()))
    }
}

/// Which of the three a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Spec,
    Status,
    Held,
}

/// The keys of a kind.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    spec: String,
    status: String,
    held: String,
}

impl Parts {
    pub(crate) fn of(kind: &str) -> Parts {
        Parts {
            spec: format!("{kind}/"),
            status: format!("{kind}.status/"),
            held: format!("{kind}.held/"),
        }
    }

    pub(crate) fn key(&self, role: Role, name: &str) -> String {
        let prefix = match role {
            Role::Spec => &self.spec,
            Role::Status => &self.status,
            Role::Held => &self.held,
        };
        format!("{prefix}{name}")
    }

    /// The range that all of them lie in, and keys of `<kind>.<other>` beside them: a full stop comes
    /// right before the slash, and a zero right after.
    pub(crate) fn range(&self) -> (String, String) {
        let kind = self.spec.trim_end_matches('/');
        (format!("{kind}."), format!("{kind}0"))
    }

    /// Whose key it is; none if it is no key of an object.
    pub(crate) fn read<'a>(&self, key: &'a [u8]) -> Option<(Role, &'a str)> {
        let key = std::str::from_utf8(key).ok()?;
        let roles = [
            (Role::Spec, &self.spec),
            (Role::Status, &self.status),
            (Role::Held, &self.held),
        ];
        roles.into_iter().find_map(|(role, prefix)| {
            let name = key.strip_prefix(prefix.as_str())?;
            (!name.is_empty()).then_some((role, name))
        })
    }
}

/// The three keys of one object, as far as they are there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Triple {
    pub(crate) spec: Option<Arc<KeyValue>>,
    pub(crate) status: Option<Arc<KeyValue>>,
    pub(crate) held: Option<Arc<KeyValue>>,
}

impl Triple {
    /// The status that is left of an object that is gone.
    pub(crate) fn orphan(&self) -> Option<&KeyValue> {
        let gone = self.spec.is_none() && self.held.is_none();
        self.status.as_deref().filter(|_| gone)
    }

    /// The object; none if it is gone.
    ///
    /// # Errors
    /// [`Error::Value`] if one of the keys holds what cannot be read.
    pub(crate) fn object<R: Resource>(&self, name: &str) -> Result<Option<Object<R>>, Error> {
        let held = self.held.as_deref();
        let held_at = held.map_or(0, |kv| kv.mod_revision);
        let held = held.map(Held::decode).transpose()?;
        let wanted = self.spec.as_deref();
        // One that was made anew while another of its name is being deleted has to wait.
        let anew = |held: &Held| wanted.is_none_or(|kv| kv.create_revision != held.created);
        let left = held.as_ref().filter(|held| anew(held));
        let (bytes, created, generation) = match (left, wanted) {
            (Some(held), _) => {
                let spec = held.spec().map_err(|reason| value_error(name, reason))?;
                (spec, held.created, held.generation)
            }
            (None, Some(kv)) => (kv.value.to_vec(), kv.create_revision, kv.mod_revision),
            (None, None) => return Ok(None),
        };
        let spec = R::Format::decode(&bytes).map_err(|reason| value_error(name, reason))?;
        let told = self.told::<R>()?;
        let (status, observed_generation) = match told {
            Some(told) => (Some(told.status), told.observed_generation),
            None => (None, 0),
        };
        Ok(Some(Object {
            name: name.to_owned(),
            spec,
            status,
            observed_generation,
            created,
            generation,
            deleting: left.is_some(),
            finalizers: held.map_or_else(Vec::new, |held| held.finalizers),
            told_at: self.status.as_deref().map_or(0, |kv| kv.mod_revision),
            held_at,
        }))
    }

    fn told<R: Resource>(&self) -> Result<Option<Told<R::Status>>, Error> {
        let Some(kv) = &self.status else {
            return Ok(None);
        };
        let told = serde_json::from_slice(&kv.value);
        told.map(Some)
            .map_err(|error| broken(kv, error.to_string()))
    }
}

fn broken(kv: &KeyValue, reason: String) -> Error {
    value_error(&String::from_utf8_lossy(&kv.key), reason)
}

pub(super) fn value_error(key: &str, reason: String) -> Error {
    Error::Value {
        key: key.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::resource::Json;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Workers {
        count: u32,
    }

    impl Resource for Workers {
        const KIND: &'static str = "fleet/workers";
        type Status = u32;
        type Format = Json;
    }

    fn kv(value: &str, created: i64, changed: i64) -> Option<Arc<KeyValue>> {
        Some(Arc::new(KeyValue {
            key: Bytes::from_static(b"k"),
            value: Bytes::copy_from_slice(value.as_bytes()),
            create_revision: created,
            mod_revision: changed,
            ..KeyValue::default()
        }))
    }

    fn held(created: i64, generation: i64, spec: &str) -> Option<Arc<KeyValue>> {
        let mut held = Held::new(created, generation, spec.as_bytes());
        held.finalizers.push("fleet".to_owned());
        kv(&serde_json::to_string(&held).unwrap(), 50, 60)
    }

    #[test]
    fn a_key_tells_which_object_it_is_of() {
        let parts = Parts::of("fleet/workers");
        assert_eq!(
            parts.read(b"fleet/workers/blue"),
            Some((Role::Spec, "blue"))
        );
        assert_eq!(
            parts.read(b"fleet/workers.status/a/b"),
            Some((Role::Status, "a/b"))
        );
        for strange in ["fleet/workers/", "fleet/workers.more/a", "fleet/other/a"] {
            assert_eq!(parts.read(strange.as_bytes()), None, "{strange}");
        }
        let (from, to) = parts.range();
        for role in [Role::Spec, Role::Status, Role::Held] {
            let key = parts.key(role, "blue");
            assert!(from < key && key < to, "{key}");
        }
    }

    #[test]
    fn an_object_is_made_of_its_keys() {
        let triple = Triple {
            spec: kv(r#"{"count":3}"#, 5, 9),
            status: kv(r#"{"observedGeneration":7,"status":2}"#, 6, 8),
            held: None,
        };
        let object: Object<Workers> = triple.object("blue").unwrap().unwrap();
        assert_eq!((object.spec.count, object.status), (3, Some(2)));
        assert_eq!((object.created, object.generation), (5, 9));
        assert!(!object.is_observed() && !object.is_being_deleted());
    }

    #[test]
    fn finalizers_hold_an_object_whose_key_is_gone_or_made_anew() {
        for spec in [None, kv(r#"{"count":9}"#, 70, 70)] {
            let triple = Triple {
                spec,
                status: None,
                held: held(5, 9, r#"{"count":3}"#),
            };
            let object: Object<Workers> = triple.object("blue").unwrap().unwrap();
            assert!(object.is_being_deleted());
            assert_eq!((object.spec.count, object.created), (3, 5));
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_name() {
        let triple = Triple {
            spec: kv(r#"{"count":"many"}"#, 5, 9),
            ..Triple::default()
        };
        let error = triple.object::<Workers>("blue").unwrap_err().to_string();
        assert!(error.starts_with("blue: invalid type"), "{error}");
    }
}
