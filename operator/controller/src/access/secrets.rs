//! Secrets that are a user's: read, and written if they are the operator's to write.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Resource, ResourceExt};
use mainstay_operator_api::MainstayUser;
use mainstay_operator_api::storage::Retention;

use super::Error;
use super::claim::Ward;
use crate::labels::{MANAGED_BY, OPERATOR};

/// On Secrets that the operator has made for a user: the name of its resource.
const USER: &str = "mainstay.dev/user";

pub type Data = BTreeMap<String, ByteString>;

impl Ward<'_, MainstayUser> {
    pub async fn secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        let found = self.api::<Secret>().get_opt(name).await;
        found.map_err(Error::api("a Secret cannot be read"))
    }

    /// Whether the operator has made it for this user, or for a former one of its name.
    pub fn is_own(&self, secret: &Secret) -> bool {
        let labels = secret.labels();
        labels.get(USER) == Some(&self.named.name)
            && labels.get(MANAGED_BY).map(String::as_str) == Some(OPERATOR)
    }

    /// Whether it goes, and stays, together with the user.
    pub fn is_bound(&self, secret: &Secret) -> bool {
        secret.metadata.owner_references.clone().unwrap_or_default() == self.owners()
    }

    /// A user that stays needs what opens it.
    fn owners(&self) -> Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
        match self.object.spec.when_deleted {
            Retention::Delete => self.object.controller_owner_ref(&()).into_iter().collect(),
            Retention::Retain => Vec::new(),
        }
    }

    /// Makes it, or puts this in the place of what was found, unless somebody else has meanwhile.
    pub async fn store(
        &self,
        name: &str,
        found: Option<&Secret>,
        kind: &str,
        data: Data,
    ) -> Result<(), Error> {
        let labels = [(MANAGED_BY, OPERATOR), (USER, &self.named.name)];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(self.named.namespace.clone()),
                labels: Some(BTreeMap::from(labels)),
                owner_references: Some(self.owners()),
                ..ObjectMeta::default()
            },
            type_: Some(kind.to_owned()),
            data: Some(data),
            ..Secret::default()
        };
        let (api, params) = (self.api::<Secret>(), PostParams::default());
        let stored = match found {
            None => api.create(&params, &secret).await,
            Some(found) => {
                secret.metadata.resource_version = found.metadata.resource_version.clone();
                // The kind of a Secret cannot be changed.
                secret.type_ = found.type_.clone();
                api.replace(name, &params, &secret).await
            }
        };
        stored
            .map(drop)
            .map_err(Error::api("a Secret cannot be written"))
    }
}
