//! What members are asked to do.

use k8s_openapi::api::core::v1::Secret;
use mainstay_operator_api::cluster::AuthSpec;
use mainstay_operator_member::pb::AlarmType;
use mainstay_operator_member::{Member, NOT_IN_SYNC, UNSETTLED};

use super::Actor;
use crate::error::Error;

impl Actor<'_> {
    pub(super) async fn add_learner(&self, peer_url: &str) -> Result<(), Error> {
        let added = self.any()?.add_learner(peer_url).await;
        settled(added.map(drop))
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
        settled(self.any()?.remove(id).await)
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
        let password = self.root_password().await?;
        let member = self.any()?;
        if member.auth_enabled().await? {
            return Ok(());
        }
        Ok(member.enable_auth(&password).await?)
    }

    pub(super) async fn set_root_password(&self) -> Result<(), Error> {
        let password = self.root_password().await?;
        Ok(self.any()?.set_root_password(&password).await?)
    }

    /// As the Secret has it now.
    async fn root_password(&self) -> Result<String, Error> {
        let auth = self.subject.spec.auth.as_ref();
        let name = auth
            .map(|auth| auth.root_secret.as_str())
            .unwrap_or_default();
        let secret = self.api::<Secret>().get_opt(name).await;
        let secret = secret.map_err(Error::api(format!("Secret {name}")))?;
        let secret = secret.ok_or_else(|| Error::SecretMissing(name.to_owned()))?;
        let bytes = secret
            .data
            .as_ref()
            .and_then(|data| data.get(AuthSpec::PASSWORD));
        let password = bytes.and_then(|bytes| AuthSpec::password(&bytes.0));
        let password = password.ok_or_else(|| Error::SecretIncomplete {
            secret: name.to_owned(),
            key: AuthSpec::PASSWORD,
        })?;
        Ok(password.to_owned())
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

/// Members refuse to change until each has been connected to the others for some seconds. After a
/// change or a restart that is only a matter of time.
fn settled(outcome: Result<(), mainstay_operator_member::Error>) -> Result<(), Error> {
    match outcome {
        Err(error) if error.says(UNSETTLED) => {
            Err(Error::Changed("the members' connections".to_owned()))
        }
        other => Ok(other?),
    }
}
