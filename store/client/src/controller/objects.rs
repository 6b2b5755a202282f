//! The objects of a kind as the local copy of their keys shows them.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;

use mainstay_proto::mvccpb::KeyValue;

use crate::error::Error;
use crate::reflector::Cache;
use crate::resource::{Object, Parts, Resource, Role, Triple};

/// Objects to read from anywhere, without asking a member.
#[derive(Debug)]
pub struct Objects<R: Resource> {
    cache: Cache,
    parts: Parts,
    kind: PhantomData<fn() -> R>,
}

impl<R: Resource> Clone for Objects<R> {
    fn clone(&self) -> Self {
        Objects::new(self.cache.clone(), self.parts.clone())
    }
}

pub(super) enum Looked<R: Resource> {
    There(Arc<Object<R>>),
    Gone,
    /// Gone, but for a status that was told at this revision.
    Orphan(i64),
    Broken(Error),
}

impl<R: Resource> Objects<R> {
    pub(crate) fn new(cache: Cache, parts: Parts) -> Objects<R> {
        Objects {
            cache,
            parts,
            kind: PhantomData,
        }
    }

    /// The object of this name; none if it is not there, or cannot be read.
    pub fn get(&self, name: &str) -> Option<Arc<Object<R>>> {
        match self.look(name) {
            Looked::There(object) => Some(object),
            _ => None,
        }
    }

    /// All that can be read, by name.
    pub fn all(&self) -> Vec<Arc<Object<R>>> {
        let mut names = BTreeSet::new();
        for kv in self.cache.all() {
            if let Some((Role::Spec | Role::Held, name)) = self.parts.read(&kv.key) {
                names.insert(name.to_owned());
            }
        }
        names.iter().filter_map(|name| self.get(name)).collect()
    }

    /// Waits until the first list is done.
    pub async fn synced(&self) {
        self.cache.synced().await;
    }

    pub(super) fn look(&self, name: &str) -> Looked<R> {
        let key = |role| self.cache.get(self.parts.key(role, name));
        let triple = Triple {
            spec: key(Role::Spec),
            status: key(Role::Status),
            held: key(Role::Held),
        };
        match triple.object(name) {
            Ok(Some(object)) => Looked::There(Arc::new(object)),
            Ok(None) => match triple.orphan() {
                Some(status) => Looked::Orphan(status.mod_revision),
                None => Looked::Gone,
            },
            Err(error) => Looked::Broken(error),
        }
    }

    /// The object that this one key makes: what is left to tell of one that is gone.
    pub(super) fn alone(&self, name: &str, kv: &KeyValue) -> Option<Arc<Object<R>>> {
        let kv = Some(Arc::new(kv.clone()));
        let triple = match self.parts.read(&kv.as_ref()?.key)? {
            (Role::Spec, _) => Triple {
                spec: kv,
                ..Triple::default()
            },
            (Role::Held, _) => Triple {
                held: kv,
                ..Triple::default()
            },
            (Role::Status, _) => return None,
        };
        triple.object(name).ok().flatten().map(Arc::new)
    }
}
