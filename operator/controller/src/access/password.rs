//! The password of a user, from the Secret that its resource names.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use mainstay_operator_api::MainstayUser;
use mainstay_operator_api::access::PasswordSpec;
use mainstay_operator_api::cluster::AuthSpec;
use rand::Rng;
use rand::distr::Alphanumeric;

use super::claim::{Verdict, Ward};
use super::{Error, reason};

/// 190 bits, in letters and digits that need no quotes anywhere.
const LENGTH: usize = 32;

/// A password that is there.
pub struct Password {
    pub text: String,
    /// The state of its Secret.
    pub version: String,
}

/// The password, or what is missing.
pub async fn look(
    ward: &Ward<'_, MainstayUser>,
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
    Ok(found.as_ref().and_then(read).ok_or_else(|| {
        let message = format!(
            "Secret {name} is missing or has no {}: create it with {}",
            AuthSpec::PASSWORD,
            AuthSpec::PASSWORD
        );
        Verdict::new(reason::SECRET_MISSING, message)
    }))
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
}
