//! Key files of signed tokens.

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};

use super::{JwtError, ring};

/// What tokens are signed and verified with.
pub struct Pair {
    pub signing: Option<EncodingKey>,
    pub verifying: DecodingKey,
}

pub fn read(
    method: &str,
    algorithm: Algorithm,
    public: Option<&[u8]>,
    private: Option<&[u8]>,
) -> Result<Pair, JwtError> {
    let family = algorithm.family();
    if family == AlgorithmFamily::Hmac {
        let secret = private
            .filter(|secret| !secret.is_empty())
            .ok_or(JwtError::NoSecret)?;
        return Ok(Pair {
            signing: Some(EncodingKey::from_secret(secret)),
            verifying: DecodingKey::from_secret(secret),
        });
    }
    let no_key = |which| move || JwtError::Key(which, method.to_owned());
    let public = public
        .map(|pem| verifying(family, pem).ok_or_else(no_key("pub-key")))
        .transpose()?;
    let Some(pem) = private else {
        let verifying = public.ok_or(JwtError::NoKey)?;
        return Ok(Pair {
            signing: None,
            verifying,
        });
    };
    let signing = signing(family, pem).ok_or_else(no_key("priv-key"))?;
    // The half that verifies is part of the key that signs.
    let own = ring::public(algorithm, &signing).ok_or_else(no_key("priv-key"))?;
    let own = match family {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_der(&own),
        AlgorithmFamily::Ec => DecodingKey::from_ec_der(&own),
        _ => DecodingKey::from_ed_der(&own),
    };
    if let Some(public) = public
        && public.try_get_as_bytes().ok() != own.try_get_as_bytes().ok()
    {
        return Err(JwtError::Mismatch);
    }
    Ok(Pair {
        signing: Some(signing),
        verifying: own,
    })
}

fn verifying(family: AlgorithmFamily, pem: &[u8]) -> Option<DecodingKey> {
    let key = match family {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
        _ => DecodingKey::from_ed_pem(pem),
    };
    key.ok()
}

fn signing(family: AlgorithmFamily, pem: &[u8]) -> Option<EncodingKey> {
    let key = match family {
        AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(pem),
        AlgorithmFamily::Ec => EncodingKey::from_ec_pem(pem),
        _ => EncodingKey::from_ed_pem(pem),
    };
    key.ok()
}
