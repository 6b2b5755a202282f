//! Signed tokens (`--auth-token jwt,…`): any member with the key knows them, and they end by
//! themselves. They state the revision of users and roles at which they were signed, so any change
//! of those ends their right to keys (etcd).

mod keys;
mod ring;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Error;

/// The values of `sign-method`. etcd has ES512 too, on a curve that the cryptography here lacks.
pub const SIGN_METHODS: &[(&str, Algorithm)] = &[
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("HS256", Algorithm::HS256),
    ("HS384", Algorithm::HS384),
    ("HS512", Algorithm::HS512),
    ("EdDSA", Algorithm::EdDSA),
];

/// Why keys cannot be used; one line, and nothing of the keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    #[error("sign-method {0:?} is not one of those known")]
    Method(String),
    #[error("it needs priv-key, the secret that tokens are signed and verified with")]
    NoSecret,
    #[error("it needs priv-key, or pub-key to verify only")]
    NoKey,
    #[error("{0} is no key for {1}")]
    Key(&'static str, String),
    #[error("pub-key and priv-key do not belong together")]
    Mismatch,
}

/// Signs and verifies.
pub struct Jwt {
    algorithm: Algorithm,
    /// Missing where there is only a public key.
    signing: Option<EncodingKey>,
    verifying: DecodingKey,
    validation: Validation,
    ttl: Duration,
}

#[derive(Serialize)]
struct Signed<'a> {
    username: &'a str,
    revision: u64,
    exp: u64,
}

/// As another's library may have written it: a number of JSON may have a fraction.
#[derive(Deserialize)]
struct Claims {
    username: String,
    revision: f64,
}

impl Jwt {
    /// Takes the contents of key files: PEM, or for HS any bytes in `private`.
    pub fn new(
        method: &str,
        public: Option<&[u8]>,
        private: Option<&[u8]>,
        ttl: Duration,
    ) -> Result<Jwt, JwtError> {
        ring::install();
        let known = SIGN_METHODS.iter().find(|(name, _)| *name == method);
        let (_, algorithm) = known.ok_or_else(|| JwtError::Method(method.to_owned()))?;
        let pair = keys::read(method, *algorithm, public, private)?;
        let mut validation = Validation::new(*algorithm);
        // What Go's library does by default.
        validation.leeway = 0;
        validation.required_spec_claims.clear();
        validation.validate_nbf = true;
        validation.validate_aud = false;
        Ok(Jwt {
            algorithm: *algorithm,
            signing: pair.signing,
            verifying: pair.verifying,
            validation,
            ttl,
        })
    }

    /// Takes a while with RSA: not for the thread that carries raft.
    pub fn sign(&self, name: &str, revision: u64) -> Result<Zeroizing<String>, Error> {
        let key = self.signing.as_ref().ok_or(Error::VerifyOnly)?;
        let ends = SystemTime::now().checked_add(self.ttl);
        let ends = ends.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let claims = Signed {
            username: name,
            revision,
            exp: ends.map_or(0, |at| at.as_secs()),
        };
        let signed = jsonwebtoken::encode(&Header::new(self.algorithm), &claims, key);
        signed.map(Zeroizing::new).map_err(|error| {
            tracing::error!(%error, "a token could not be signed");
            Error::Storage
        })
    }

    /// User and revision of a token that is good. Why another is not is nobody's business: the
    /// text of a library's error may hold what it has read.
    pub fn verify(&self, token: &str) -> Option<(String, u64)> {
        let decoded =
            jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation).ok()?;
        let Claims { username, revision } = decoded.claims;
        // Saturates, as no revision is below zero or that large.
        Some((username, revision as u64))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    const TTL: Duration = Duration::from_secs(300);
    const RSA: &[u8] = include_bytes!("../../testdata/rsa.pem");
    const RSA_PUBLIC: &[u8] = include_bytes!("../../testdata/rsa.pub.pem");

    /// Public and private key for a method.
    fn pair(method: &str) -> (Option<Vec<u8>>, Vec<u8>) {
        let made = match method {
            "ES256" => &PKCS_ECDSA_P256_SHA256,
            "ES384" => &PKCS_ECDSA_P384_SHA384,
            "EdDSA" => &PKCS_ED25519,
            other if other.starts_with("HS") => return (None, b"a secret of any length".to_vec()),
            _ => return (Some(RSA_PUBLIC.to_vec()), RSA.to_vec()),
        };
        let made = KeyPair::generate_for(made).unwrap();
        let public = made.public_key_pem().into_bytes();
        (Some(public), made.serialize_pem().into_bytes())
    }

    #[test]
    fn every_method_signs_and_verifies_its_own() {
        for (method, _) in SIGN_METHODS {
            let (public, private) = pair(method);
            let jwt = Jwt::new(method, public.as_deref(), Some(&private), TTL)
                .unwrap_or_else(|error| panic!("{method}: {error}"));
            let token = jwt.sign("alice", 9).unwrap();
            assert_eq!(jwt.verify(&token), Some(("alice".into(), 9)), "{method}");
            let private_only = Jwt::new(method, None, Some(&private), TTL).unwrap();
            assert!(private_only.verify(&token).is_some(), "{method}");
            if let Some(public) = public {
                let verifier = Jwt::new(method, Some(&public), None, TTL).unwrap();
                assert!(verifier.verify(&token).is_some(), "{method}");
                let refused = verifier.sign("alice", 9).err();
                assert_eq!(refused, Some(Error::VerifyOnly), "{method}");
            }
            let (head, tail) = token.rsplit_once('.').unwrap();
            let mut forged: Vec<char> = tail.chars().collect();
            forged[3] = if forged[3] == 'A' { 'B' } else { 'A' };
            let forged: String = forged.into_iter().collect();
            assert_eq!(jwt.verify(&format!("{head}.{forged}")), None, "{method}");
        }
    }

    #[test]
    fn a_token_of_another_method_or_past_its_end_is_none() {
        let (_, secret) = pair("HS256");
        let jwt = |method, ttl| Jwt::new(method, None, Some(&secret), ttl).unwrap();
        let token = jwt("HS512", TTL).sign("alice", 1).unwrap();
        assert_eq!(jwt("HS256", TTL).verify(&token), None);
        // A public key taken for a secret opens nothing.
        let (public, private) = pair("RS256");
        let rsa = Jwt::new("RS256", public.as_deref(), Some(&private), TTL).unwrap();
        let confused = Jwt::new("HS256", None, public.as_deref(), TTL).unwrap();
        assert_eq!(rsa.verify(&confused.sign("root", 9).unwrap()), None);
        assert_eq!(rsa.verify("eyJhbGciOiJub25lIn0.e30."), None);
        assert_eq!(rsa.verify(""), None);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let claims = Signed {
            username: "alice",
            revision: 1,
            exp: now.as_secs() - 1,
        };
        let header = Header::new(Algorithm::HS256);
        let late = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&secret));
        assert_eq!(jwt("HS256", TTL).verify(&late.unwrap()), None);
    }

    #[test]
    fn wrong_keys_are_told_and_not_shown() {
        let refused = |method, public, private| Jwt::new(method, public, private, TTL).err();
        let method = refused("ES512", None, None);
        assert_eq!(method, Some(JwtError::Method("ES512".into())));
        assert_eq!(refused("HS256", Some(RSA), None), Some(JwtError::NoSecret));
        assert_eq!(refused("RS256", None, None), Some(JwtError::NoKey));
        let odd = refused("ES256", None, Some(RSA));
        assert_eq!(odd, Some(JwtError::Key("priv-key", "ES256".into())));
        let (public, _) = pair("ES256");
        let (_, private) = pair("ES256");
        let other = refused("ES256", public.as_deref(), Some(&private));
        assert_eq!(other, Some(JwtError::Mismatch));
    }
}
