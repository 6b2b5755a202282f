//! The cryptography of signed tokens by ring, which TLS uses too. The libraries that
//! `jsonwebtoken` offers would be a second one: one of them needs cmake, the other's RSA leaks its
//! key by the time it takes (RUSTSEC-2023-0071).

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature as of;
use ring::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use ring::{hmac, rsa};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes it the one of this process. Only the first call does something.
pub fn install() {
    // It fails if it is installed already, and nobody else installs one.
    let _ = PROVIDER.install_default();
}

/// The public half of a key, in the form that verifying takes.
pub fn public(algorithm: Algorithm, key: &EncodingKey) -> Option<Vec<u8>> {
    let key = key.as_bytes();
    match how(algorithm) {
        How::Rsa { .. } => {
            let pair = RsaKeyPair::from_der(key).ok()?;
            Some(pair.public().as_ref().to_vec())
        }
        How::Ecdsa { sign, .. } => {
            let pair = EcdsaKeyPair::from_pkcs8(sign, key, &SystemRandom::new()).ok()?;
            Some(pair.public_key().as_ref().to_vec())
        }
        How::Ed25519 => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).ok()?;
            Some(pair.public_key().as_ref().to_vec())
        }
        How::Hmac(_) | How::Unknown => None,
    }
}

/// What a method is done with.
enum How {
    Hmac(hmac::Algorithm),
    Rsa {
        sign: &'static dyn of::RsaEncoding,
        verify: &'static dyn of::VerificationAlgorithm,
    },
    Ecdsa {
        sign: &'static of::EcdsaSigningAlgorithm,
        verify: &'static dyn of::VerificationAlgorithm,
    },
    Ed25519,
    /// None of the methods that the flag lets in.
    Unknown,
}

fn how(algorithm: Algorithm) -> How {
    let rsa = |sign, verify| How::Rsa { sign, verify };
    match algorithm {
        Algorithm::HS256 => How::Hmac(hmac::HMAC_SHA256),
        Algorithm::HS384 => How::Hmac(hmac::HMAC_SHA384),
        Algorithm::HS512 => How::Hmac(hmac::HMAC_SHA512),
        Algorithm::RS256 => rsa(&of::RSA_PKCS1_SHA256, &of::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => rsa(&of::RSA_PKCS1_SHA384, &of::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => rsa(&of::RSA_PKCS1_SHA512, &of::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => rsa(&of::RSA_PSS_SHA256, &of::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => rsa(&of::RSA_PSS_SHA384, &of::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => rsa(&of::RSA_PSS_SHA512, &of::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => How::Ecdsa {
            sign: &of::ECDSA_P256_SHA256_FIXED_SIGNING,
            verify: &of::ECDSA_P256_SHA256_FIXED,
        },
        Algorithm::ES384 => How::Ecdsa {
            sign: &of::ECDSA_P384_SHA384_FIXED_SIGNING,
            verify: &of::ECDSA_P384_SHA384_FIXED,
        },
        Algorithm::EdDSA => How::Ed25519,
        _ => How::Unknown,
    }
}

/// A key of one method.
struct Key {
    algorithm: Algorithm,
    bytes: zeroize::Zeroizing<Vec<u8>>,
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    if algorithm.family() != key.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(Key {
        algorithm: *algorithm,
        bytes: key.as_bytes().to_vec().into(),
    }))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if algorithm.family() != key.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(Key {
        algorithm: *algorithm,
        bytes: key.try_get_as_bytes()?.to_vec().into(),
    }))
}

impl Signer<Vec<u8>> for Key {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let failed = |_| signature::Error::new();
        let chance = SystemRandom::new();
        match how(self.algorithm) {
            How::Hmac(algorithm) => {
                let key = hmac::Key::new(algorithm, &self.bytes);
                Ok(hmac::sign(&key, message).as_ref().to_vec())
            }
            How::Rsa { sign, .. } => {
                let pair = rsa::KeyPair::from_der(&self.bytes);
                let pair = pair.map_err(|_| signature::Error::new())?;
                let mut made = vec![0; pair.public().modulus_len()];
                pair.sign(sign, &chance, message, &mut made)
                    .map_err(failed)?;
                Ok(made)
            }
            How::Ecdsa { sign, .. } => {
                let pair = EcdsaKeyPair::from_pkcs8(sign, &self.bytes, &chance);
                let pair = pair.map_err(|_| signature::Error::new())?;
                let made = pair.sign(&chance, message).map_err(failed)?;
                Ok(made.as_ref().to_vec())
            }
            How::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.bytes);
                let pair = pair.map_err(|_| signature::Error::new())?;
                Ok(pair.sign(message).as_ref().to_vec())
            }
            How::Unknown => Err(signature::Error::new()),
        }
    }
}

impl Verifier<Vec<u8>> for Key {
    fn verify(&self, message: &[u8], made: &Vec<u8>) -> Result<(), signature::Error> {
        let verify: &'static dyn of::VerificationAlgorithm = match how(self.algorithm) {
            How::Hmac(algorithm) => {
                let key = hmac::Key::new(algorithm, &self.bytes);
                return hmac::verify(&key, message, made).map_err(|_| signature::Error::new());
            }
            How::Rsa { verify, .. } | How::Ecdsa { verify, .. } => verify,
            How::Ed25519 => &of::ED25519,
            How::Unknown => return Err(signature::Error::new()),
        };
        UnparsedPublicKey::new(verify, self.bytes.as_slice())
            .verify(message, made)
            .map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Key {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl JwtVerifier for Key {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
