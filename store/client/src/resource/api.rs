//! Reads and writes of objects. Every write says what it was decided upon, so that of two who
//! decide at once one is told [`Error::Conflict`].

use std::marker::PhantomData;
use std::sync::Arc;

use super::object::{Held, Told, value_error};
use super::{Format, Object, Parts, Resource, Role, Triple};
use crate::client::Client;
use crate::controller::Objects;
use crate::error::Error;
use crate::kv::{Compare, Op, Outcome, Txn};
use crate::reflector::Reflector;

/// The objects of one kind.
#[derive(Debug)]
pub struct Resources<R: Resource> {
    client: Client,
    parts: Parts,
    kind: PhantomData<fn() -> R>,
}

impl<R: Resource> Clone for Resources<R> {
    fn clone(&self) -> Self {
        Resources {
            client: self.client.clone(),
            parts: self.parts.clone(),
            kind: PhantomData,
        }
    }
}

impl Client {
    pub fn resources<R: Resource>(&self) -> Resources<R> {
        Resources {
            client: self.clone(),
            parts: Parts::of(R::KIND),
            kind: PhantomData,
        }
    }
}

impl<R: Resource> Resources<R> {
    /// A local copy of all keys of the kind.
    pub fn reflect(&self) -> Reflector {
        let (from, to) = self.parts.range();
        self.client.reflect_range(from, to)
    }

    /// The objects as the copy that [`Resources::reflect`] made shows them.
    pub fn view(&self, reflector: &Reflector) -> Objects<R> {
        Objects::new(reflector.cache(), self.parts.clone())
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The object of this name, all of it at one revision.
    pub async fn get(&self, name: &str) -> Result<Option<Object<R>>, Error> {
        self.read(name).await?.object(name)
    }

    async fn read(&self, name: &str) -> Result<Triple, Error> {
        let roles = [Role::Spec, Role::Status, Role::Held];
        let gets = roles.map(|role| Op::get(self.parts.key(role, name)));
        let txn = gets.into_iter().fold(self.client.txn(), Txn::then);
        let outcome = txn.await?;
        let mut found = outcome.outcomes.into_iter().map(|outcome| match outcome {
            Outcome::Found(found) => found.kvs.into_iter().next().map(Arc::new),
            _ => None,
        });
        let mut next = || found.next().flatten();
        Ok(Triple {
            spec: next(),
            status: next(),
            held: next(),
        })
    }

    /// Wants this of the object, whatever was wanted before. Returns the generation.
    pub async fn put(&self, name: &str, spec: &R) -> Result<i64, Error> {
        let (key, value) = self.spec_of(name, spec)?;
        Ok(self.client.put(key, value).await?.revision)
    }

    /// Makes an object that is not there.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is.
    pub async fn create(&self, name: &str, spec: &R) -> Result<i64, Error> {
        let (key, value) = self.spec_of(name, spec)?;
        let txn = self.client.txn().when(Compare::missing(&key));
        self.settle(name, txn.then(Op::put(key, value))).await
    }

    /// Wants something else, if nobody else did since the object was read.
    pub async fn replace(&self, object: &Object<R>, spec: &R) -> Result<i64, Error> {
        let (key, value) = self.spec_of(&object.name, spec)?;
        let unchanged = Compare::unchanged_since(&key, object.generation);
        let txn = self.client.txn().when(unchanged);
        self.settle(&object.name, txn.then(Op::put(key, value)))
            .await
    }

    fn spec_of(&self, name: &str, spec: &R) -> Result<(String, Vec<u8>), Error> {
        if name.is_empty() {
            return Err(value_error(R::KIND, "an object needs a name".to_owned()));
        }
        let value = R::Format::encode(spec).map_err(|reason| value_error(name, reason))?;
        Ok((self.parts.key(Role::Spec, name), value))
    }

    /// Wants it no longer. It is gone at once, or when its finalizers are.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let key = |role| self.parts.key(role, name);
        let txn = self.client.txn().when(Compare::missing(key(Role::Held)));
        let txn = txn.then(Op::delete(key(Role::Spec)));
        let txn = txn.then(Op::delete(key(Role::Status)));
        txn.otherwise(Op::delete(key(Role::Spec))).await?;
        Ok(())
    }

    /// Tells what is so, about the generation that the object was read at. Telling the same again
    /// writes nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] if another has told since, or the object is gone.
    pub async fn tell(&self, object: &Object<R>, status: R::Status) -> Result<(), Error> {
        if object.is_observed() && object.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let told = Told {
            observed_generation: object.generation,
            status,
        };
        let value = serde_json::to_vec(&told);
        let value = value.map_err(|error| value_error(&object.name, error.to_string()))?;
        let key = self.parts.key(Role::Status, &object.name);
        let txn = self.client.txn().when(self.lives(object));
        let txn = txn.when(Compare::unchanged_since(&key, object.told_at));
        self.settle(&object.name, txn.then(Op::put(key, value)))
            .await?;
        Ok(())
    }

    /// The object is still the one that was read.
    fn lives(&self, object: &Object<R>) -> Compare {
        let key = |role| self.parts.key(role, &object.name);
        match object.is_being_deleted() {
            true => Compare::unchanged_since(key(Role::Held), object.held_at),
            false => Compare::created_at(key(Role::Spec), object.created),
        }
    }

    /// Keeps the object from going before `finalizer` is taken off, and notes what is wanted now for
    /// whoever cleans up after it. False if that was so already.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the object has changed since it was read.
    pub async fn hold(&self, object: &Object<R>, finalizer: &str) -> Result<bool, Error> {
        let triple = self.read(&object.name).await?;
        let conflict = || self.conflict(&object.name);
        let spec = triple
            .spec
            .filter(|kv| kv.mod_revision == object.generation);
        let spec = spec.ok_or_else(conflict)?;
        let known = triple.held.as_deref().map(Held::decode).transpose()?;
        let mut held = Held::new(object.created, object.generation, &spec.value);
        if let Some(known) = known {
            let same = known.generation == held.generation && known.created == held.created;
            if same && known.finalizers.iter().any(|name| name == finalizer) {
                return Ok(false);
            }
            if known.created != held.created {
                return Err(conflict());
            }
            held.finalizers = known.finalizers;
        }
        if !held.finalizers.iter().any(|name| name == finalizer) {
            held.finalizers.push(finalizer.to_owned());
        }
        let held_at = triple.held.map_or(0, |kv| kv.mod_revision);
        let put = self.put_held(&object.name, &held)?;
        let spec_key = self.parts.key(Role::Spec, &object.name);
        let txn = self.held_since(&object.name, held_at);
        let txn = txn.when(Compare::unchanged_since(spec_key, object.generation));
        self.settle(&object.name, txn.then(put)).await?;
        Ok(true)
    }

    /// Takes a finalizer off. With the last one an object that is being deleted is gone.
    pub async fn release(&self, object: &Object<R>, finalizer: &str) -> Result<(), Error> {
        let name = &object.name;
        let triple = self.read(name).await?;
        let Some(kv) = triple.held.as_deref() else {
            return Ok(());
        };
        let mut held = Held::decode(kv)?;
        if held.created != object.created {
            return Ok(());
        }
        held.finalizers.retain(|known| known != finalizer);
        let txn = self.held_since(name, kv.mod_revision);
        let wanted = triple.spec.as_deref();
        let wanted = wanted.filter(|spec| spec.create_revision == held.created);
        let key = |role| self.parts.key(role, name);
        let txn = match (held.finalizers.is_empty(), wanted) {
            (false, _) => txn.then(self.put_held(name, &held)?),
            (true, Some(spec)) => txn
                .when(Compare::created_at(key(Role::Spec), spec.create_revision))
                .then(Op::delete(key(Role::Held))),
            (true, None) => txn
                .then(Op::delete(key(Role::Held)))
                .then(Op::delete(key(Role::Status))),
        };
        self.settle(name, txn).await?;
        Ok(())
    }

    /// Takes away the status of an object that is gone.
    pub(crate) async fn sweep(&self, name: &str, status_at: i64) -> Result<(), Error> {
        let key = |role| self.parts.key(role, name);
        let txn = self.client.txn().when(Compare::missing(key(Role::Spec)));
        let txn = txn.when(Compare::missing(key(Role::Held)));
        let txn = txn.when(Compare::unchanged_since(key(Role::Status), status_at));
        txn.then(Op::delete(key(Role::Status))).await?;
        Ok(())
    }

    fn held_since(&self, name: &str, revision: i64) -> Txn {
        let key = self.parts.key(Role::Held, name);
        self.client
            .txn()
            .when(Compare::unchanged_since(key, revision))
    }

    fn put_held(&self, name: &str, held: &Held) -> Result<Op, Error> {
        let value = serde_json::to_vec(held);
        let value = value.map_err(|error| value_error(name, error.to_string()))?;
        Ok(Op::put(self.parts.key(Role::Held, name), value))
    }

    async fn settle(&self, name: &str, txn: Txn) -> Result<i64, Error> {
        let outcome = txn.await?;
        match outcome.succeeded {
            true => Ok(outcome.revision),
            false => Err(self.conflict(name)),
        }
    }

    fn conflict(&self, name: &str) -> Error {
        Error::Conflict {
            key: self.parts.key(Role::Spec, name),
        }
    }
}
