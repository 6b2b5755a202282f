//! The password of a user, from the Secret that its resource names.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use mainstay_operator_api::access::PasswordSpec;
use mainstay_operator_api::cluster::AuthSpec;
use mainstay_operator_api::{MainstayCluster, MainstayUser};
use rand::Rng;
use rand::distr::Alphanumeric;

use super::claim::{Verdict, Ward};
use super::{Error, reason};

/// 190 bits, in letters and digits that need no quotes anywhere.
const LENGTH: usize = 32;
/// Bytes of the longest password that members take: bcrypt sees no more.
const BCRYPT: usize = 72;
/// By the members' other way to keep passwords.
const ARGON2: (&str, usize) = ("--password-hash=argon2id", 512);

/// A password that is there.
pub struct Password {
    pub text: String,
    /// The state of its Secret.
    pub version: String,
}

/// The password, or what is missing.
pub async fn look(
    ward: &Ward<'_, MainstayUser>,
    cluster: &MainstayCluster,
    spec: &PasswordSpec,
) -> Result<Result<Password, Verdict>, Error> {
    let name = &spec.secret_name;
    let mut found = ward.secret(name).await?;
    let made = found.as_ref().is_some_and(|found| ward.is_own(found));
    match &found {
        None if spec.generate => {
            let data = BTreeMap::from([(AuthSpec::PASSWORD.to_owned(), random())]);
            ward.store(name, None, "Opaque", data).await?;
            found = ward.secret(name).await?;
        }
        Some(secret) if made && !ward.is_bound(secret) => {
            let data = secret.data.clone().unwrap_or_default();
            ward.store(name, Some(secret), "Opaque", data).await?;
            found = ward.secret(name).await?;
        }
        _ => {}
    }
    let Some(password) = found.as_ref().and_then(read) else {
        let message = format!(
            "Secret {name} is missing or has no {}: create it with {}",
            AuthSpec::PASSWORD,
            AuthSpec::PASSWORD
        );
        return Ok(Err(Verdict::new(reason::SECRET_MISSING, message)));
    };
    Ok(match too_long(name, &password.text, cluster) {
        Some(verdict) => Err(verdict),
        None => Ok(password),
    })
}

/// Found before members are asked: a user that was deleted to be made anew could not be made.
fn too_long(secret: &str, password: &str, cluster: &MainstayCluster) -> Option<Verdict> {
    let (argument, more) = ARGON2;
    let arguments = &cluster.spec.server.extra_args;
    let is_argon2 = arguments.iter().any(|given| given == argument);
    let most = if is_argon2 { more } else { BCRYPT };
    let length = password.len();
    if length <= most {
        return None;
    }
    let mut message = format!(
        "the password in Secret {secret} has {length} bytes, and members take {most} at most: put a \
         shorter one there"
    );
    if !is_argon2 && length <= more {
        let name = cluster.name_any();
        message.push_str(&format!(
            ", or set {argument} in spec.server.extraArgs of MainstayCluster {name}"
        ));
    }
    Some(Verdict::new(reason::PASSWORD_TOO_LONG, message))
}

fn read(secret: &Secret) -> Option<Password> {
    let bytes = secret.data.as_ref()?.get(AuthSpec::PASSWORD)?;
    Some(Password {
        text: AuthSpec::password(&bytes.0)?.to_owned(),
        version: format!("{}/{}", secret.uid()?, secret.resource_version()?),
    })
}

fn random() -> ByteString {
    let characters = rand::rng().sample_iter(Alphanumeric).take(LENGTH);
    ByteString(characters.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn passwords_are_long_and_never_the_same() {
        let (one, other) = (random(), random());
        assert_eq!(one.0.len(), LENGTH);
        assert_ne!(one, other);
        assert!(one.0.iter().all(u8::is_ascii_alphanumeric));
    }

    #[test]
    fn a_password_is_text_and_its_version_that_of_the_secret() {
        let mut secret = Secret::default();
        assert!(read(&secret).is_none());
        secret.metadata.uid = Some("u".to_owned());
        secret.metadata.resource_version = Some("7".to_owned());
        let data = [(AuthSpec::PASSWORD.to_owned(), ByteString(b"x\n".to_vec()))];
        secret.data = Some(BTreeMap::from(data));
        let password = read(&secret).unwrap();
        assert_eq!((&*password.text, &*password.version), ("x", "u/7"));
    }

    #[test]
    fn what_members_cut_or_refuse_is_no_password() {
        let of = |arguments: &[&str]| {
            let spec = json!({ "server": { "extraArgs": arguments } });
            MainstayCluster::new("db", serde_json::from_value(spec).unwrap())
        };
        let (bcrypt, argon2) = (of(&[]), of(&["--password-hash=argon2id"]));
        let long = |length: usize, cluster: &MainstayCluster| {
            // Bytes count, and not characters.
            let verdict = too_long("s", &"\u{e4}".repeat(length / 2), cluster)?;
            assert_eq!(verdict.reason, reason::PASSWORD_TOO_LONG);
            Some(verdict.message)
        };
        assert_eq!(long(72, &bcrypt), None);
        let told = long(74, &bcrypt).unwrap();
        assert!(told.contains("has 74 bytes, and members take 72"), "{told}");
        assert!(told.contains("of MainstayCluster db"), "{told}");
        assert!(!long(514, &bcrypt).unwrap().contains("argon2id"));
        assert_eq!(long(512, &argon2), None);
        assert!(long(514, &argon2).unwrap().contains("take 512 at most"));
    }
}
