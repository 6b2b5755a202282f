//! Objects that are rendered, and the record.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, PostParams, Preconditions, PropagationPolicy};
use mainstay_operator_plan::record::Record;
use mainstay_operator_plan::step::Part;

use super::Actor;
use crate::apply::Wanted;
use crate::error::Error;
use crate::parts;
use crate::render::{budget, workload};

/// Key of the record in the ConfigMap, beside the intents.
pub const RECORD: &str = "record.json";

impl Actor<'_> {
    pub(super) async fn apply(&self, wanted: &[Part]) -> Result<(), Error> {
        for part in wanted {
            match part {
                Part::Workload => self.apply_workload(None).await?,
                Part::DisruptionBudget => self.apply_budget().await?,
                other => {
                    for object in parts::simple(&self.subject, *other)? {
                        self.put(&object).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn put(&self, wanted: &Wanted) -> Result<(), Error> {
        let what = format!("{} {}", wanted.resource.kind, wanted.name);
        let applied = wanted.apply(self.client).await.map_err(Error::api(what))?;
        let key = wanted.key();
        self.ledger
            .applied(self.subject.uid, &key, &wanted.object, &applied.metadata);
        Ok(())
    }

    async fn apply_budget(&self) -> Result<(), Error> {
        if let Some(least) = parts::min_available(self.observed) {
            let budget = budget::render(&self.subject, least);
            return self.put(&Wanted::of(&budget)?).await;
        }
        let api = self.api::<PodDisruptionBudget>();
        let deleted = api
            .delete(self.subject.name, &DeleteParams::default())
            .await;
        gone(deleted.map(drop), "PodDisruptionBudget")
    }

    /// With the replicas that are there, or else with these.
    async fn apply_workload(&self, replicas: Option<u32>) -> Result<(), Error> {
        let api = self.api::<StatefulSet>();
        let name = self.subject.name;
        let live = api.get_opt(name).await;
        let live = live.map_err(Error::api(format!("StatefulSet {name}")))?;
        let mut shape = parts::shape(&self.subject, self.observed, live.as_ref());
        if let Some(replicas) = replicas {
            shape.replicas = replicas;
        }
        let wanted = Wanted::of(&workload::render(&self.subject, &shape))?;
        let what = format!("StatefulSet {name}");
        let meta = live.as_ref().map(|live| &live.metadata);
        // What the shape was taken from must still be there.
        let still = wanted.clone().if_still(
            meta.and_then(|meta| meta.uid.as_deref()),
            meta.and_then(|meta| meta.resource_version.as_deref()),
        );
        let applied = still.apply(self.client).await.map_err(Error::api(what))?;
        let object = parts::without_replicas(&wanted.object);
        self.ledger
            .applied(self.subject.uid, &wanted.key(), &object, &applied.metadata);
        Ok(())
    }

    pub(super) async fn scale(&self, replicas: u32) -> Result<(), Error> {
        self.apply_workload(Some(replicas)).await
    }

    pub(super) async fn delete_workload(&self, uid: &str, orphan: bool) -> Result<(), Error> {
        let params = DeleteParams {
            propagation_policy: Some(match orphan {
                true => PropagationPolicy::Orphan,
                false => PropagationPolicy::Background,
            }),
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let api = self.api::<StatefulSet>();
        let deleted = api.delete(self.subject.name, &params).await;
        gone(deleted.map(drop), "StatefulSet")
    }

    /// Record and intents in one object: whoever reads the one has the other.
    pub(super) async fn write_record(&self, record: &Record) -> Result<(), Error> {
        let mut data = BTreeMap::new();
        data.insert(RECORD.to_owned(), serde_json::to_string_pretty(record)?);
        for (ordinal, intent) in record.intents(&self.observed.cluster) {
            let file = format!("{}.json", self.observed.cluster.member(ordinal));
            data.insert(file, serde_json::to_string(&intent)?);
        }
        let name = format!("{}-members", self.subject.name);
        let mut map = ConfigMap {
            metadata: self.subject.owned(&name),
            data: Some(data),
            ..ConfigMap::default()
        };
        let (api, params) = (self.api::<ConfigMap>(), PostParams::default());
        let written = match &self.observed.record {
            None => api.create(&params, &map).await,
            Some(kept) => {
                map.metadata.resource_version = Some(kept.version.clone());
                api.replace(&name, &params, &map).await
            }
        };
        written
            .map(drop)
            .map_err(Error::api(format!("ConfigMap {name}")))
    }
}

/// Nothing there is what was wanted.
pub(super) fn gone(outcome: kube::Result<()>, what: &str) -> Result<(), Error> {
    match outcome {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map_err(Error::api(what)),
    }
}
