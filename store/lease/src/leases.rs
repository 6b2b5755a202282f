//! The handle on leases that apply, raft and the API share.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use mainstay_mvcc::{Batch, Store};
use parking_lot::{RwLock, RwLockWriteGuard};

use crate::{Clock, Error, Lessor, clock::Now};

/// How leases are kept.
#[derive(Clone)]
pub struct Options {
    /// Shortest TTL in seconds; etcd's is one and a half election timeouts, rounded up.
    pub min_ttl_seconds: i64,
    /// Given on top of the TTL by a new leader.
    pub election_timeout: Duration,
    /// Monotonic time since any fixed moment; only the [`Clock`] asks for it.
    pub now: Now,
}

impl Options {
    /// etcd's rule for the shortest TTL at this election timeout.
    pub fn new(election_timeout: Duration, now: Now) -> Options {
        let min_ttl_millis = election_timeout.as_millis().saturating_mul(3).div_ceil(2);
        let min_ttl_seconds = i64::try_from(min_ttl_millis.div_ceil(1000)).unwrap_or(i64::MAX);
        Options {
            min_ttl_seconds,
            election_timeout,
            now,
        }
    }
}

/// Cheap to clone. Readers see the leases as of the last batch applied.
#[derive(Clone)]
pub struct Leases(Arc<Shared>);

struct Shared {
    min_ttl_seconds: i64,
    lessor: RwLock<Lessor>,
    clock: Clock,
}

impl Leases {
    pub fn new(options: Options) -> Leases {
        Leases(Arc::new(Shared {
            min_ttl_seconds: options.min_ttl_seconds.max(1),
            lessor: RwLock::default(),
            clock: Clock::new(options.now, options.election_timeout),
        }))
    }

    /// Takes over the leases of a store just opened or installed.
    pub fn load(&self, store: &Store) -> Result<(), Error> {
        let loaded = Lessor::load(store)?;
        let mut lessor = self.0.lessor.write();
        *lessor = loaded;
        self.0.clock.load(lessor.granted());
        Ok(())
    }

    /// The write side, for one batch. Readers wait until it is dropped.
    pub fn applying(&self) -> Applying<'_> {
        Applying {
            lessor: self.0.lessor.write(),
            clock: &self.0.clock,
            changed: Vec::new(),
        }
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The TTL that a proposer puts into a grant: never below the minimum, and one that is too
    /// large as it is, so that apply refuses it. Done before the entry is built because members
    /// may be started with different election timeouts and must still decide alike.
    pub fn raised_ttl(&self, ttl: i64) -> i64 {
        ttl.max(self.0.min_ttl_seconds)
    }

    pub fn exists(&self, id: i64) -> bool {
        self.0.lessor.read().exists(id)
    }

    /// Seconds granted, `None` for an unknown id.
    pub fn granted_ttl(&self, id: i64) -> Option<i64> {
        self.0.lessor.read().granted_seconds(id)
    }

    /// Keys that hang on the lease, sorted; `None` for an unknown id.
    pub fn keys(&self, id: i64) -> Option<Vec<Bytes>> {
        self.0.lessor.read().keys(id)
    }

    /// See [`Lessor::look_at_keys`]. Waits for a batch that is being applied.
    pub fn look_at_keys<E>(
        &self,
        id: i64,
        look: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.0.lessor.read().look_at_keys(id, look)
    }

    /// How many there are; `None` while a batch is applied, which may take its time.
    pub fn count(&self) -> Option<usize> {
        Some(self.0.lessor.try_read()?.len())
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases")
            .field("clock", &self.0.clock)
            .finish_non_exhaustive()
    }
}

/// The lessor while a batch is applied; the clock hears of it after the commit.
pub struct Applying<'a> {
    lessor: RwLockWriteGuard<'a, Lessor>,
    clock: &'a Clock,
    changed: Vec<Changed>,
}

enum Changed {
    Granted(i64, i64),
    Revoked(i64),
}

impl Applying<'_> {
    /// See [`Lessor::grant`].
    pub fn grant(&mut self, batch: &mut Batch<'_>, id: i64, ttl: i64) -> Result<i64, Error> {
        let granted = self.lessor.grant(batch, id, ttl)?;
        self.changed.push(Changed::Granted(id, granted));
        Ok(granted)
    }

    /// See [`Lessor::revoke`].
    pub fn revoke(&mut self, batch: &mut Batch<'_>, id: i64) -> Result<i64, Error> {
        let revision = self.lessor.revoke(batch, id)?;
        self.changed.push(Changed::Revoked(id));
        Ok(revision)
    }

    /// See [`Lessor::attach`].
    pub fn attach(&mut self, key: &[u8], from: i64, to: i64) {
        self.lessor.attach(key, from, to);
    }

    pub fn exists(&self, id: i64) -> bool {
        self.lessor.exists(id)
    }

    /// See [`Lessor::look_at_keys`].
    pub fn look_at_keys<E>(
        &self,
        id: i64,
        look: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.lessor.look_at_keys(id, look)
    }

    /// The batch is in the store: deadlines begin and end.
    pub fn committed(self) {
        for change in self.changed {
            match change {
                Changed::Granted(id, granted) => self.clock.granted(id, granted),
                Changed::Revoked(id) => self.clock.revoked(id),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_ttl_is_one_and_a_half_election_timeouts_rounded_up() {
        for (election_ms, least) in [(1000, 2), (3000, 5), (100, 1), (2000, 3)] {
            let now: Now = Arc::new(|| Duration::ZERO);
            let options = Options::new(Duration::from_millis(election_ms), now);
            let leases = Leases::new(options);
            assert_eq!(leases.raised_ttl(-7), least);
            assert_eq!(leases.raised_ttl(0), least);
            assert_eq!(leases.raised_ttl(600), 600);
            assert_eq!(leases.raised_ttl(i64::MAX), i64::MAX);
        }
    }
}
