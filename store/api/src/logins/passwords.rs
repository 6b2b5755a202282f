//! Hashing of passwords: on the blocking pool, a few at a time, and never more waiting than can be
//! served in time. A flood of log-ins costs its own answers and no heartbeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use bytes::Bytes;
use rand::TryRngCore;
use rand::rngs::OsRng;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::limits::{HASHES_WAITING, PASSWORD_BYTES};

/// The longest password that bcrypt sees all of.
const BCRYPT_BYTES: usize = 72;
const SALT_BYTES: usize = 16;
/// Salt of the hash that is made for a user that does not exist, to take as long as for others.
const NO_SALT: [u8; SALT_BYTES] = [0; SALT_BYTES];

/// Memory in KiB, passes and lanes of Argon2id: OWASP's least, which suits two cores.
const ARGON2_KIB: u32 = 19 * 1024;
const ARGON2_PASSES: u32 = 2;
const ARGON2_LANES: u32 = 1;

/// How new passwords are hashed. What is kept says by itself how it was made, so either is always
/// verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordHash {
    Bcrypt { cost: u32 },
    Argon2id,
}

pub struct Passwords {
    new: PasswordHash,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Passwords {
    pub fn new(new: PasswordHash) -> Passwords {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Passwords {
            new,
            // Half of the machine: the other half serves those who are in.
            places: Arc::new(Semaphore::new((cores / 2).max(1))),
            waiting: AtomicUsize::new(0),
        }
    }

    pub async fn hash(&self, password: Zeroizing<String>) -> Result<Bytes, Error> {
        let new = self.new;
        check(new, &password)?;
        let mut salt = [0; SALT_BYTES];
        OsRng.try_fill_bytes(&mut salt).map_err(|error| {
            tracing::error!(%error, "the system gives no random bytes");
            Error::Storage
        })?;
        let _waits = Waits::enter(&self.waiting)?;
        self.run(move || make(new, &password, salt)).await?
    }

    /// Whether the password is the one of the hash; without a hash it is not, after as long. Others
    /// of the same lane come first, one by one.
    pub async fn verify(
        &self,
        password: Zeroizing<String>,
        hash: Option<Bytes>,
        lane: &Semaphore,
    ) -> Result<bool, Error> {
        // Refused before it costs anything: none that long can have been set.
        if password.len() > PASSWORD_BYTES {
            return Ok(false);
        }
        let new = self.new;
        let _waits = Waits::enter(&self.waiting)?;
        let Ok(_place) = lane.acquire().await else {
            return Err(Error::Stopped);
        };
        self.run(move || match hash {
            Some(hash) => is_of(&password, &hash),
            None => {
                drop(make(new, &password, NO_SALT));
                false
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let Ok(place) = self.places.clone().acquire_owned().await else {
            return Err(Error::Stopped);
        };
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work is done: whoever asked may have gone.
            let _place = place;
            work()
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "hashing a password died");
            Error::Storage
        })
    }
}

/// A place among those that wait for the pool, given back however the wait ends.
struct Waits<'a>(&'a AtomicUsize);

impl Waits<'_> {
    fn enter(waiting: &AtomicUsize) -> Result<Waits<'_>, Error> {
        let waits = Waits(waiting);
        match waiting.fetch_add(1, Ordering::Relaxed) < HASHES_WAITING {
            true => Ok(waits),
            false => Err(Error::TooManyRequests),
        }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn check(new: PasswordHash, password: &str) -> Result<(), Error> {
    match new {
        PasswordHash::Bcrypt { .. } if password.len() > BCRYPT_BYTES => {
            Err(Error::PasswordAboveBcrypt)
        }
        PasswordHash::Argon2id if password.len() > PASSWORD_BYTES => Err(Error::PasswordTooLong),
        _ => Ok(()),
    }
}

fn make(new: PasswordHash, password: &str, salt: [u8; SALT_BYTES]) -> Result<Bytes, Error> {
    let failed = |error: String| {
        tracing::error!(error, "a password could not be hashed");
        Error::Storage
    };
    match new {
        PasswordHash::Bcrypt { cost } => {
            let made = bcrypt::hash_with_salt(password, cost, salt);
            let made = made.map_err(|error| failed(error.to_string()))?;
            // `2a` is what Go writes; the algorithm is the same.
            Ok(made.format_for_version(bcrypt::Version::TwoA).into())
        }
        PasswordHash::Argon2id => {
            let made = argon2().and_then(|argon2| {
                argon2
                    .hash_password_with_salt(password.as_bytes(), &salt)
                    .ok()
            });
            let made = made.ok_or_else(|| failed("argon2 refused its parameters".to_owned()))?;
            Ok(made.to_string().into())
        }
    }
}

fn argon2() -> Option<Argon2<'static>> {
    let params = Params::new(ARGON2_KIB, ARGON2_PASSES, ARGON2_LANES, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Verifies by whatever made the hash. What is no hash is nobody's password.
fn is_of(password: &str, hash: &[u8]) -> bool {
    let Ok(hash) = std::str::from_utf8(hash) else {
        return false;
    };
    if hash.starts_with("$argon2") {
        let verifier = Argon2::default();
        return verifier.verify_password(password.as_bytes(), hash).is_ok();
    }
    bcrypt::verify(password, hash).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: PasswordHash = PasswordHash::Bcrypt { cost: 4 };

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn both_kinds_are_verified_whatever_is_made_new() {
        for (made, other) in [
            (CHEAP, PasswordHash::Argon2id),
            (PasswordHash::Argon2id, CHEAP),
        ] {
            let hash = Passwords::new(made).hash(secret("right")).await.unwrap();
            let passwords = Passwords::new(other);
            let lane = Semaphore::new(1);
            let verify = |text: &str| passwords.verify(secret(text), Some(hash.clone()), &lane);
            assert!(verify("right").await.unwrap(), "{made:?}");
            assert!(!verify("wrong").await.unwrap(), "{made:?}");
            assert!(!verify("").await.unwrap(), "{made:?}");
        }
    }

    #[tokio::test]
    async fn an_empty_password_is_one_and_what_is_no_hash_is_nobodys() {
        let passwords = Passwords::new(PasswordHash::Argon2id);
        let own = Passwords::new(CHEAP).hash(secret("")).await.unwrap();
        assert!(own.starts_with(b"$2a$04$"));
        let lane = Semaphore::new(1);
        let verify = |hash| passwords.verify(secret(""), Some(hash), &lane);
        assert!(verify(own).await.unwrap());
        for odd in [&b""[..], b"\xff", b"$2a$10$short", b"$argon2id$x"] {
            assert!(!verify(Bytes::copy_from_slice(odd)).await.unwrap());
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_told_or_fails_unseen() {
        let bcrypt = Passwords::new(CHEAP);
        let long = "x".repeat(BCRYPT_BYTES + 1);
        let refused = bcrypt.hash(secret(&long)).await;
        assert_eq!(refused, Err(Error::PasswordAboveBcrypt));
        assert!(bcrypt.hash(secret(&long[1..])).await.is_ok());
        let longer = "x".repeat(PASSWORD_BYTES + 1);
        let argon = Passwords::new(PasswordHash::Argon2id);
        let refused = argon.hash(secret(&longer)).await;
        assert_eq!(refused, Err(Error::PasswordTooLong));
        assert_eq!(
            argon
                .verify(secret(&longer), None, &Semaphore::new(1))
                .await,
            Ok(false)
        );
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let passwords = Passwords::new(CHEAP);
        passwords.waiting.store(HASHES_WAITING, Ordering::Relaxed);
        let refused = passwords.hash(secret("x")).await;
        assert_eq!(refused, Err(Error::TooManyRequests));
        assert_eq!(passwords.waiting.load(Ordering::Relaxed), HASHES_WAITING);
    }
}
