//! Who calls: credentials as they came with a request, verified, and passwords and tokens of those
//! who log in.
//!
//! A caller is known by its token or else by the certificate of this very connection; nothing is
//! inherited by the gateway. What it may do is not decided here: `store/apply` says what a request
//! needs and `store/auth` what the caller has, at apply for whatever takes an entry.
//!
//! No password or token is logged, shown by `Debug`, or part of an error; they are wiped when they
//! are dropped.

pub mod credentials;
mod jwt;
mod passwords;
mod throttle;

use std::sync::Arc;

use bytes::Bytes;
use mainstay_apply::View;
use mainstay_auth::{Auth, Caller as Identity, Registry, TokenHash};
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};
use zeroize::{Zeroize, Zeroizing};

pub use jwt::{Jwt, JwtError, SIGN_METHODS};
pub use passwords::PasswordHash;

use crate::error::Error;
use credentials::Credentials;
use passwords::Passwords;
use throttle::{Attempt, Throttle};

/// Bytes of chance in a token.
const SECRET_BYTES: usize = 32;
/// What separates a token's secret from the index of the entry it was made by.
const SEPARATOR: char = '.';

/// How those who log in are known again (`--auth-token`).
#[derive(Clone)]
pub enum TokenKind {
    /// Nobody can log in by a password; certificates alone count.
    None,
    Simple,
    Jwt(Arc<Jwt>),
}

/// What flags decide.
#[derive(Clone)]
pub struct LoginSettings {
    pub tokens: TokenKind,
    pub password_hash: PasswordHash,
    /// Failed log-ins of one user from one address; 0 for any number.
    pub attempts_per_minute: u32,
    /// `--client-cert-auth`: the common name of a client's certificate is its user.
    pub by_certificate: bool,
}

impl std::fmt::Debug for LoginSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginSettings").finish_non_exhaustive()
    }
}

/// The member's side of authentication.
pub struct Logins {
    auth: Auth,
    view: View,
    tokens: TokenKind,
    passwords: Passwords,
    throttle: Throttle,
    pub by_certificate: bool,
}

/// A password that was right, at a revision of the users.
pub struct Verified {
    pub auth_revision: u64,
}

impl Logins {
    pub fn new(auth: Auth, view: View, settings: LoginSettings) -> Logins {
        Logins {
            auth,
            view,
            tokens: settings.tokens,
            passwords: Passwords::new(settings.password_hash),
            throttle: Throttle::new(settings.attempts_per_minute),
            by_certificate: settings.by_certificate,
        }
    }

    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    pub fn registry(&self) -> Arc<Registry> {
        self.auth.registry()
    }

    /// Who shows these credentials. Nobody is asked for any while authentication is off. A token
    /// of an entry that is not applied here yet is waited for until the deadline.
    pub async fn identify(
        &self,
        credentials: &Credentials,
        deadline: Instant,
    ) -> Result<Identity, Error> {
        let registry = self.auth.registry();
        if !registry.is_enabled() {
            return Ok(Identity::Nobody);
        }
        let revision = registry.revision();
        if let Some(token) = credentials.token() {
            let token = token.ok_or(Error::InvalidAuthToken)?;
            return self
                .holder(token, revision, deadline)
                .await
                .ok_or(Error::InvalidAuthToken);
        }
        Ok(match credentials.certificate_name() {
            Some(name) if self.by_certificate => Identity::User {
                name: name.to_owned(),
                revision,
            },
            _ => Identity::Nobody,
        })
    }

    async fn holder(&self, token: &str, revision: u64, deadline: Instant) -> Option<Identity> {
        match &self.tokens {
            TokenKind::None => None,
            TokenKind::Jwt(jwt) => {
                let (name, revision) = jwt.verify(token)?;
                Some(Identity::User { name, revision })
            }
            TokenKind::Simple => {
                let (secret, index) = token.split_once(SEPARATOR)?;
                let index: u64 = index.parse().ok()?;
                let hash = hash(secret);
                let tokens = self.auth.tokens();
                let mut user = tokens.user(&hash);
                if user.is_none() && index > self.view.applied_index() {
                    timeout_at(deadline, self.view.wait_applied(index))
                        .await
                        .ok()?;
                    user = tokens.user(&hash);
                }
                let name = user?.as_ref().to_owned();
                Some(Identity::User { name, revision })
            }
        }
    }

    /// Verifies a password, in as much time whether there is such a user or not.
    pub async fn verify(
        &self,
        name: &str,
        password: &Zeroizing<String>,
        credentials: &Credentials,
    ) -> Result<Verified, Error> {
        let registry = self.auth.registry();
        if !registry.is_enabled() {
            return Err(Error::AuthNotEnabled);
        }
        let user = registry.user(name);
        if user.is_some_and(|user| user.has_no_password()) {
            return Err(Error::NoPasswordUser);
        }
        let attempt = self.attempt(name, credentials)?;
        let hash = user.map(|user| Bytes::copy_from_slice(user.password_hash()));
        let lane = attempt.lane();
        let right = self.passwords.verify(password.clone(), hash, &lane).await?;
        if !right {
            tracing::warn!(user = name, "a log-in with a wrong password, or of nobody");
            return Err(Error::AuthFailed);
        }
        attempt.succeeded();
        Ok(Verified {
            auth_revision: registry.revision(),
        })
    }

    fn attempt(&self, name: &str, credentials: &Credentials) -> Result<Attempt<'_>, Error> {
        let attempt = self.throttle.attempt(name, credentials.source());
        attempt.ok_or_else(|| {
            tracing::warn!(user = name, "too many log-ins have failed; refused unseen");
            Error::TooManyRequests
        })
    }

    /// The form in which a password is kept.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<Bytes, Error> {
        self.passwords.hash(password).await
    }

    /// A token that needs no entry, where tokens are signed.
    pub async fn signed(
        &self,
        name: &str,
        verified: &Verified,
    ) -> Option<Result<Zeroizing<String>, Error>> {
        match &self.tokens {
            TokenKind::Simple => None,
            TokenKind::None => Some(Err(Error::AuthFailed)),
            TokenKind::Jwt(jwt) => {
                let (jwt, name) = (jwt.clone(), name.to_owned());
                let revision = verified.auth_revision;
                let signed = tokio::task::spawn_blocking(move || jwt.sign(&name, revision));
                Some(signed.await.unwrap_or(Err(Error::Storage)))
            }
        }
    }
}

/// A simple token before it has its entry.
pub struct Fresh {
    secret: Zeroizing<String>,
}

impl Fresh {
    pub fn new() -> Result<Fresh, Error> {
        let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
        OsRng.try_fill_bytes(bytes.as_mut()).map_err(|error| {
            tracing::error!(%error, "the system gives no random bytes");
            Error::Storage
        })?;
        let mut secret = Zeroizing::new(String::with_capacity(2 * SECRET_BYTES));
        for byte in bytes.iter() {
            for half in [byte >> 4, byte & 15] {
                secret.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
            }
        }
        Ok(Fresh { secret })
    }

    /// All of it that leaves this member.
    pub fn hash(&self) -> TokenHash {
        hash(&self.secret)
    }

    /// The token for the client; the index tells a member how far it must have come to know it.
    pub fn token(&self, index: u64) -> String {
        format!("{}{SEPARATOR}{index}", self.secret.as_str())
    }
}

fn hash(secret: &str) -> TokenHash {
    Sha256::digest(secret.as_bytes()).into()
}

/// Takes a password out of a request, so that nothing is left of it once it is dropped.
pub fn take(password: &mut String) -> Zeroizing<String> {
    let taken = Zeroizing::new(std::mem::take(password));
    password.zeroize();
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_secret_and_an_index() {
        let fresh = Fresh::new().unwrap();
        let token = fresh.token(77);
        let (secret, index) = token.split_once(SEPARATOR).unwrap();
        assert_eq!((secret.len(), index), (2 * SECRET_BYTES, "77"));
        assert_eq!(hash(secret), fresh.hash());
        assert_ne!(Fresh::new().unwrap().hash(), fresh.hash());
    }

    #[test]
    fn a_password_leaves_its_request() {
        let mut password = "secret".to_owned();
        assert_eq!(take(&mut password).as_str(), "secret");
        assert!(password.is_empty());
    }
}
