//! Everything about a cluster that can be shown to others: no Secret, no log line with data.

use std::path::Path;

use anyhow::{Context as _, Result};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Place;

pub async fn run(place: &Place, name: &str, out: Option<&Path>) -> Result<()> {
    let mut cluster = place.cluster(name).await?;
    cluster.metadata.managed_fields = None;
    let selector = mainstay_operator_act::labels::selector(name);
    let own = ListParams::default().labels(&selector);
    let mut documents = vec![serde_yaml::to_string(&cluster)?];
    documents.extend(list::<StatefulSet>(place, &own).await?);
    documents.extend(list::<Pod>(place, &own).await?);
    documents.extend(list::<PersistentVolumeClaim>(place, &own).await?);
    documents.extend(list::<ConfigMap>(place, &own).await?);
    documents.extend(list::<Service>(place, &own).await?);
    documents.extend(list::<PodDisruptionBudget>(place, &own).await?);
    documents.extend(events(place, name).await?);
    let text = documents.join("---\n");
    match out {
        None => print!("{text}"),
        Some(path) => {
            std::fs::write(path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
            println!("{} objects are in {}", documents.len(), path.display());
        }
    }
    Ok(())
}

async fn list<K>(place: &Place, params: &ListParams) -> Result<Vec<String>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Serialize,
{
    let api: Api<K> = Api::namespaced(place.client.clone(), &place.namespace);
    let kind = K::kind(&());
    let found = api
        .list(params)
        .await
        .with_context(|| format!("{kind} cannot be read"))?;
    let texts = found.items.into_iter().map(|mut object| {
        object.meta_mut().managed_fields = None;
        Ok(serde_yaml::to_string(&object)?)
    });
    texts.collect()
}

/// Of the cluster and of what carries its name.
async fn events(place: &Place, name: &str) -> Result<Vec<String>> {
    let api: Api<Event> = Api::namespaced(place.client.clone(), &place.namespace);
    let found = api
        .list(&ListParams::default())
        .await
        .context("events cannot be read")?;
    let about = |event: &Event| {
        let object = event.involved_object.name.clone().unwrap_or_default();
        object == name
            || object.starts_with(&format!("{name}-"))
            || object.starts_with(&format!("data-{name}-"))
    };
    let texts = found.items.into_iter().filter(about).map(|mut event| {
        event.managed_fields_mut().clear();
        Ok(serde_yaml::to_string(&event)?)
    });
    texts.collect()
}
