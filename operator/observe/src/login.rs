//! Whether members ask for a password, and whether that of root is the one in its Secret.

use std::collections::BTreeMap;

use kube::ResourceExt;
use mainstay_operator_api::cluster::AuthSpec;
use mainstay_operator_member::Member;
use mainstay_operator_plan::auth::PASSWORD;
use mainstay_operator_plan::observed::{AuthView, Kept, PasswordView};

use crate::members::Answer;
use crate::objects::Objects;

pub async fn look(
    spec: &AuthSpec,
    objects: &Objects,
    record: Option<&Kept>,
    answers: &BTreeMap<u32, Answer>,
) -> (AuthView, Option<PasswordView>) {
    let answering = answers.values().filter(|answer| answer.status.is_ok());
    let members = answering.filter_map(|answer| answer.member.as_ref().ok());
    for member in members {
        match member.auth_enabled().await {
            Ok(true) => {
                return (
                    AuthView::Enabled,
                    password(spec, objects, record, member).await,
                );
            }
            Ok(false) => return (AuthView::Disabled, None),
            Err(error) => tracing::debug!(%error, "whether authentication is on is not known"),
        }
    }
    (AuthView::Unknown, None)
}

/// Tries the password of the Secret, unless the record says that this very state of the Secret was
/// seen to be right: a log-in is dear on purpose.
async fn password(
    spec: &AuthSpec,
    objects: &Objects,
    record: Option<&Kept>,
    member: &Member,
) -> Option<PasswordView> {
    let secret = objects.secrets.get(&spec.root_secret)?;
    let bytes = secret.data.as_ref()?.get(AuthSpec::PASSWORD)?;
    let password = AuthSpec::password(&bytes.0)?;
    let version = format!("{}/{}", secret.uid()?, secret.resource_version()?);
    if record?.record.obeyed.get(PASSWORD) == Some(&version) {
        return None;
    }
    match member.is_root_password(password).await {
        Ok(is_roots) => Some(PasswordView { version, is_roots }),
        Err(error) => {
            tracing::debug!(%error, "whether the password is root's is not known");
            None
        }
    }
}
