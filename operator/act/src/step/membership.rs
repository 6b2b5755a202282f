//! What members are asked to do.

use k8s_openapi::api::core::v1::Secret;
use mainstay_operator_member::pb::AlarmType;
use mainstay_operator_member::{Member, NOT_IN_SYNC};

use super::Actor;
use crate::error::Error;

/// Key of the password in the Secret that `spec.auth.rootSecret` names.
const PASSWORD: &str = "password";

impl Actor<'_> {
    pub(super) async fn add_learner(&self, peer_url: &str) -> Result<(), Error> {
        Ok(self.any()?.add_learner(peer_url).await.map(drop)?)
    }

    /// One that has not caught up yet is left for the next pass.
    pub(super) async fn promote(&self, id: u64) -> Result<(), Error> {
        match self.any()?.promote(id).await {
            Err(error) if error.says(NOT_IN_SYNC) => {
                tracing::debug!(
                    member = format!("{id:x}"),
                    "the learner has not caught up yet"
                );
                Err(Error::Changed("the learner's progress".to_owned()))
            }
            other => Ok(other?),
        }
    }

    pub(super) async fn remove_member(&self, id: u64) -> Result<(), Error> {
        Ok(self.any()?.remove(id).await?)
    }

    pub(super) async fn move_leader(&self, from: u64, to: u64) -> Result<(), Error> {
        match self.by_id(from)?.move_leader(to).await {
            // Somebody else leads by now.
            Err(error) if error.says("not leader") => Err(Error::Changed("the leader".to_owned())),
            other => Ok(other?),
        }
    }

    pub(super) async fn compact(&self, revision: i64) -> Result<(), Error> {
        Ok(self.any()?.compact(revision).await?)
    }

    pub(super) async fn disarm(&self, id: u64) -> Result<(), Error> {
        Ok(self.any()?.disarm(id, AlarmType::Nospace).await?)
    }

    pub(super) async fn enable_auth(&self) -> Result<(), Error> {
        let Some(auth) = &self.subject.spec.auth else {
            return Ok(());
        };
        let name = &auth.root_secret;
        let secret = self.api::<Secret>().get_opt(name).await;
        let secret = secret.map_err(Error::api(format!("Secret {name}")))?;
        let secret = secret.ok_or_else(|| Error::SecretMissing(name.clone()))?;
        let password = secret.data.as_ref().and_then(|data| data.get(PASSWORD));
        let password = password.and_then(|bytes| std::str::from_utf8(&bytes.0).ok());
        let password = password.map(|text| text.trim_end_matches('\n'));
        let password = password.filter(|text| !text.is_empty());
        let password = password.ok_or_else(|| Error::SecretIncomplete {
            secret: name.clone(),
            key: PASSWORD,
        })?;
        let member = self.any()?;
        if member.auth_enabled().await? {
            return Ok(());
        }
        Ok(member.enable_auth(password).await?)
    }

    fn by_id(&self, id: u64) -> Result<&Member, Error> {
        self.members.get(&id).ok_or(Error::NotConnected(id))
    }

    /// The leader if it is known: it need not pass the request on.
    fn any(&self) -> Result<&Member, Error> {
        let leader = self.leader.and_then(|id| self.members.get(&id));
        leader
            .or_else(|| self.members.values().next())
            .ok_or(Error::NobodyConnected)
    }
}
