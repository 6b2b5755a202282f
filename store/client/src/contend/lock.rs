//! Locks: one holder at a time, for as long as its lease lives.

use super::Contender;
use crate::client::Client;
use crate::error::Error;
use crate::kv::Compare;
use crate::lease::Lease;

/// A lock that is held. Dropping it gives it up when the runtime comes to it; [`Lock::unlock`] when
/// it returns.
///
/// A holder that is cut off may go on for longer than it holds the lock. What it writes meanwhile is
/// kept out by putting [`Lock::fence`] into its transactions.
#[must_use]
#[derive(Debug)]
pub struct Lock(Contender);

impl Client {
    /// Waits for the lock of this name.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the lease ends before it is this caller's turn.
    pub async fn lock(&self, name: impl AsRef<[u8]>, lease: &Lease) -> Result<Lock, Error> {
        let contender = Contender::enter(self, name.as_ref(), Vec::new(), lease).await?;
        contender.turn(lease).await?;
        Ok(Lock(contender))
    }
}

impl Lock {
    pub fn key(&self) -> &[u8] {
        &self.0.key
    }

    /// A condition that holds as long as the lock is this holder's.
    pub fn fence(&self) -> Compare {
        Compare::created_at(&self.0.key, self.0.revision)
    }

    pub async fn unlock(self) -> Result<(), Error> {
        self.0.leave().await
    }
}
