//! The replicated state of leases, changed by applied entries only.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use mainstay_mvcc::{Batch, Store};

use crate::{Error, row};

/// Largest TTL in seconds that a grant may ask for (etcd's limit).
pub const TTL_MAX_SECONDS: i64 = 9_000_000_000;

/// Which leases exist, what was granted to each and which keys hang on it.
#[derive(Debug, Default)]
pub struct Lessor {
    leases: HashMap<i64, Lease>,
}

#[derive(Debug)]
struct Lease {
    granted_seconds: i64,
    /// Sorted, because a revoke deletes in key order.
    keys: BTreeSet<Bytes>,
}

impl Lessor {
    /// Reads the leases of a store just opened; which keys hang on them the index knows.
    pub fn load(store: &Store) -> Result<Lessor, Error> {
        let mut lessor = Lessor::default();
        for (key, value) in store.meta_scan(row::PREFIX)? {
            let (id, granted_seconds) = row::decode(&key, &value)?;
            let keys = BTreeSet::new();
            lessor.leases.insert(
                id,
                Lease {
                    granted_seconds,
                    keys,
                },
            );
        }
        for (id, key) in store.leased_keys() {
            let Some(lease) = lessor.leases.get_mut(&id) else {
                return Err(Error::corrupt(format!(
                    "a key hangs on lease {id}, which does not exist"
                )));
            };
            lease.keys.insert(Bytes::copy_from_slice(&key));
        }
        Ok(lessor)
    }

    /// Grants `ttl` seconds to `id` and returns what was granted. The minimum that depends on the
    /// election timeout has been applied by the proposer; here only 1 second is the least.
    pub fn grant(&mut self, batch: &mut Batch<'_>, id: i64, ttl: i64) -> Result<i64, Error> {
        if ttl > TTL_MAX_SECONDS {
            return Err(Error::TtlTooLarge);
        }
        if id == 0 || self.leases.contains_key(&id) {
            return Err(Error::Exists);
        }
        let granted_seconds = ttl.max(1);
        let (key, value) = row::encode(id, granted_seconds);
        batch.put_meta(key, Some(value));
        let keys = BTreeSet::new();
        self.leases.insert(
            id,
            Lease {
                granted_seconds,
                keys,
            },
        );
        Ok(granted_seconds)
    }

    /// Takes the lease away and deletes its keys, in key order, as one revision. Returns the
    /// revision afterwards, which is the one before when no key hung on it.
    pub fn revoke(&mut self, batch: &mut Batch<'_>, id: i64) -> Result<i64, Error> {
        let lease = self.leases.remove(&id).ok_or(Error::NotFound)?;
        let mut mutation = batch.mutate();
        for key in &lease.keys {
            mutation.delete_range(key, b"", false)?;
        }
        let revision = mutation.finish();
        batch.put_meta(row::key(id), None);
        Ok(revision)
    }

    /// Moves `key` from the lease it hung on to another; 0 stands for none on either side. The
    /// caller has made sure that `to` exists.
    pub fn attach(&mut self, key: &[u8], from: i64, to: i64) {
        if from == to {
            return;
        }
        self.detach(key, from);
        if let Some(lease) = self.leases.get_mut(&to) {
            // Copied: a slice would keep the whole network buffer of its request alive.
            lease.keys.insert(Bytes::copy_from_slice(key));
        }
    }

    /// The key is gone, or hangs on nothing any more.
    pub fn detach(&mut self, key: &[u8], from: i64) {
        if let Some(lease) = self.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
    }

    pub fn exists(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    /// Seconds granted, `None` for an unknown id.
    pub fn granted_seconds(&self, id: i64) -> Option<i64> {
        self.leases.get(&id).map(|lease| lease.granted_seconds)
    }

    /// Keys that hang on the lease, sorted; `None` for an unknown id.
    pub fn keys(&self, id: i64) -> Option<Vec<Bytes>> {
        self.leases
            .get(&id)
            .map(|lease| lease.keys.iter().cloned().collect())
    }

    /// Looks at each key that hangs on the lease until `look` fails; at none for an unknown id.
    pub fn look_at_keys<E>(
        &self,
        id: i64,
        look: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let keys = self
            .leases
            .get(&id)
            .into_iter()
            .flat_map(|lease| &lease.keys);
        keys.map(AsRef::as_ref).try_for_each(look)
    }

    /// Every lease with the seconds granted to it, in no order.
    pub fn granted(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.leases
            .iter()
            .map(|(id, lease)| (*id, lease.granted_seconds))
    }

    pub fn len(&self) -> usize {
        self.leases.len()
    }

    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_hangs_on_one_lease_at_a_time() {
        let mut lessor = Lessor::default();
        for id in [1, 2] {
            let lease = Lease {
                granted_seconds: 9,
                keys: BTreeSet::new(),
            };
            lessor.leases.insert(id, lease);
        }
        lessor.attach(b"k", 0, 1);
        lessor.attach(b"k", 1, 2);
        assert_eq!(lessor.keys(1), Some(vec![]));
        assert_eq!(lessor.keys(2), Some(vec![Bytes::from_static(b"k")]));
        lessor.attach(b"k", 2, 0);
        assert_eq!(lessor.keys(2), Some(vec![]));
        assert_eq!(lessor.keys(3), None);
    }
}
