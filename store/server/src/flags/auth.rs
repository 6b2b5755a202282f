//! How clients log in: tokens, hashes of passwords, certificates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainstay_api::{Jwt, LoginSettings, PasswordHash, SIGN_METHODS, TokenKind};

use super::values::Values;
use super::{Refusal, go};

/// Costs that bcrypt has.
const BCRYPT_COSTS: std::ops::RangeInclusive<u64> = 4..=31;
/// How long a signed token lasts unless `ttl` says otherwise, and a simple one where the flag says
/// 0 (etcd).
const TTL: Duration = Duration::from_secs(300);

pub fn read(values: &Values) -> Result<LoginSettings, Refusal> {
    let attempts = values.unsigned("auth-attempts-per-minute");
    Ok(LoginSettings {
        tokens: tokens(values.text("auth-token"))?,
        password_hash: password_hash(values)?,
        attempts_per_minute: u32::try_from(attempts).unwrap_or(u32::MAX),
        by_certificate: values.boolean("client-cert-auth"),
    })
}

/// How long a simple token lasts after its last use.
pub fn token_ttl(values: &Values) -> Duration {
    match values.unsigned("auth-token-ttl") {
        0 => TTL,
        seconds => Duration::from_secs(seconds),
    }
}

fn password_hash(values: &Values) -> Result<PasswordHash, Refusal> {
    let cost = values.unsigned("bcrypt-cost");
    if !BCRYPT_COSTS.contains(&cost) {
        return Err(Refusal::new(format!(
            "invalid value \"{cost}\" for flag -bcrypt-cost: must be from {} to {}",
            BCRYPT_COSTS.start(),
            BCRYPT_COSTS.end()
        )));
    }
    match values.text("password-hash") {
        "bcrypt" => Ok(PasswordHash::Bcrypt {
            cost: u32::try_from(cost).unwrap_or(u32::MAX),
        }),
        "argon2id" => Ok(PasswordHash::Argon2id),
        other => Err(Refusal::new(format!(
            "invalid value {other:?} for flag -password-hash: must be bcrypt or argon2id"
        ))),
    }
}

fn tokens(given: &str) -> Result<TokenKind, Refusal> {
    let mut parts = given.split(',');
    let kind = parts.next().unwrap_or_default();
    let mut options = BTreeMap::new();
    for part in parts {
        let pair = part
            .split_once('=')
            .filter(|(_, value)| !value.contains('='));
        let Some((name, value)) = pair else {
            return Err(refused(format_args!("{part:?} is no option")));
        };
        if !["pub-key", "priv-key", "sign-method", "ttl"].contains(&name) {
            return Err(refused(format_args!("option {name:?} is not known")));
        }
        if options.insert(name, value).is_some() {
            return Err(refused(format_args!("option {name:?} is given twice")));
        }
    }
    match kind {
        "" if options.is_empty() => Ok(TokenKind::None),
        "simple" if options.is_empty() => Ok(TokenKind::Simple),
        "jwt" => Ok(TokenKind::Jwt(Arc::new(jwt(&options)?))),
        "" | "simple" => Err(refused(format_args!("only jwt has options"))),
        other => Err(refused(format_args!(
            "must be simple or jwt, not {other:?}"
        ))),
    }
}

fn jwt(options: &BTreeMap<&str, &str>) -> Result<Jwt, Refusal> {
    let method = options.get("sign-method").copied().unwrap_or_default();
    if !SIGN_METHODS.iter().any(|(name, _)| *name == method) {
        let known: Vec<&str> = SIGN_METHODS.iter().map(|(name, _)| *name).collect();
        let known = known.join(", ");
        return Err(refused(format_args!(
            "sign-method must be one of {known}, not {method:?}"
        )));
    }
    let ttl = match options.get("ttl").copied() {
        None | Some("") => TTL,
        Some(text) => {
            go::duration(text).map_err(|reason| refused(format_args!("ttl {text:?}: {reason}")))?
        }
    };
    let file = |name: &str| {
        let path = options.get(name).filter(|path| !path.is_empty());
        let read = path.map(|path| {
            let read = std::fs::read(path).map(zeroize::Zeroizing::new);
            read.map_err(|error| refused(format_args!("{name} {path}: {error}")))
        });
        read.transpose()
    };
    let (public, private) = (file("pub-key")?, file("priv-key")?);
    let public = public.as_ref().map(|bytes| bytes.as_slice());
    let private = private.as_ref().map(|bytes| bytes.as_slice());
    Jwt::new(method, public, private, ttl).map_err(|error| refused(format_args!("{error}")))
}

fn refused(reason: std::fmt::Arguments<'_>) -> Refusal {
    Refusal::new(format!("invalid value for flag -auth-token: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;

    fn refusal(flag: &str) -> String {
        settings(&[flag], &[]).unwrap_err()
    }

    #[test]
    fn what_cannot_be_is_told_in_one_line() {
        for (flag, reason) in [
            (
                "--auth-token=paseto",
                "must be simple or jwt, not \"paseto\"",
            ),
            ("--auth-token=simple,ttl=5m", "only jwt has options"),
            ("--auth-token=jwt", "sign-method must be one of RS256,"),
            ("--auth-token=jwt,x", "\"x\" is no option"),
            (
                "--auth-token=jwt,color=red",
                "option \"color\" is not known",
            ),
            (
                "--auth-token=jwt,ttl=1m,ttl=2m",
                "option \"ttl\" is given twice",
            ),
            ("--auth-token=jwt,sign-method=HS256,ttl=x", "ttl \"x\""),
            ("--auth-token=jwt,sign-method=HS256", "it needs priv-key"),
            (
                "--auth-token=jwt,sign-method=HS256,priv-key=/nonexistent",
                "priv-key /nonexistent",
            ),
            ("--bcrypt-cost=3", "must be from 4 to 31"),
            ("--bcrypt-cost=32", "must be from 4 to 31"),
            ("--password-hash=md5", "must be bcrypt or argon2id"),
        ] {
            let refusal = refusal(flag);
            assert!(refusal.contains(reason), "{flag}: {refusal}");
            assert!(!refusal.contains('\n'), "{refusal}");
        }
    }

    #[test]
    fn defaults_are_etcds() {
        let defaults = settings(&[], &[]).unwrap();
        assert_eq!(defaults.token_ttl.as_secs(), 300);
        let bcrypt = mainstay_api::PasswordHash::Bcrypt { cost: 10 };
        assert_eq!(defaults.logins.password_hash, bcrypt);
        assert!(!defaults.logins.by_certificate);
        let argon = settings(&["--password-hash=argon2id", "--auth-token="], &[]).unwrap();
        let argon2id = mainstay_api::PasswordHash::Argon2id;
        assert_eq!(argon.logins.password_hash, argon2id);
    }
}
