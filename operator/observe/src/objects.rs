//! What the API server has of a cluster: read live and whole, at the beginning of each pass.
//!
//! No cache stands between: a pass that decides about pods and volumes must not see older ones than
//! the last pass has left behind.

use std::collections::BTreeMap;

use futures::{TryFutureExt, try_join};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::Error;

/// All of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    pub workload: Option<StatefulSet>,
    pub members: Option<ConfigMap>,
    pub budget: Option<PodDisruptionBudget>,
    /// By ordinal.
    pub pods: BTreeMap<u32, Pod>,
    pub volumes: BTreeMap<u32, PersistentVolumeClaim>,
    /// By name: the operator's own and those that the spec names.
    pub secrets: BTreeMap<String, Secret>,
}

/// Whose objects.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    /// Label selector of what the operator has made for the cluster.
    pub selector: &'a str,
    /// Secrets that carry no label of ours.
    pub secrets: &'a [String],
}

pub async fn read(client: &Client, place: &Place<'_>) -> Result<Objects, Error> {
    let name = place.name;
    let members = format!("{name}-members");
    let (workload, members, budget, pods, volumes, secrets) = try_join!(
        get::<StatefulSet>(client, place, name),
        get::<ConfigMap>(client, place, &members),
        get::<PodDisruptionBudget>(client, place, name),
        list::<Pod>(client, place),
        list::<PersistentVolumeClaim>(client, place),
        secrets(client, place),
    )?;
    Ok(Objects {
        workload,
        members,
        budget,
        pods: by_ordinal(pods, &format!("{name}-")),
        volumes: by_ordinal(volumes, &format!("data-{name}-")),
        secrets,
    })
}

async fn secrets(client: &Client, place: &Place<'_>) -> Result<BTreeMap<String, Secret>, Error> {
    let own = list::<Secret>(client, place).await?;
    let own = own.into_iter().map(|secret| (secret.name_any(), secret));
    let mut secrets: BTreeMap<_, _> = own.collect();
    for name in place.secrets {
        if !secrets.contains_key(name)
            && let Some(given) = get::<Secret>(client, place, name).await?
        {
            secrets.insert(name.clone(), given);
        }
    }
    Ok(secrets)
}

async fn get<K>(client: &Client, place: &Place<'_>, name: &str) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), place.namespace);
    let read = |source| Error::Read {
        kind: K::kind(&()).into_owned(),
        source: Box::new(source),
    };
    api.get_opt(name).map_err(read).await
}

async fn list<K>(client: &Client, place: &Place<'_>) -> Result<Vec<K>, Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), place.namespace);
    let read = |source| Error::Read {
        kind: K::kind(&()).into_owned(),
        source: Box::new(source),
    };
    // Without a resource version the API server asks a quorum of its own store.
    let params = ListParams::default().labels(place.selector);
    Ok(api.list(&params).map_err(read).await?.items)
}

/// Those whose name is the prefix and a number.
fn by_ordinal<K: ResourceExt>(objects: Vec<K>, prefix: &str) -> BTreeMap<u32, K> {
    let with = objects.into_iter().filter_map(|object| {
        let name = object.name_any();
        let ordinal = name.strip_prefix(prefix)?.parse().ok()?;
        Some((ordinal, object))
    });
    with.collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    #[test]
    fn objects_are_known_by_their_number() {
        let pod = |name: &str| Pod {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..Pod::default()
        };
        let pods = vec![
            pod("a-0"),
            pod("a-10"),
            pod("a-b-1"),
            pod("a-"),
            pod("aa-1"),
        ];
        let known: Vec<_> = by_ordinal(pods, "a-").into_keys().collect();
        assert_eq!(known, [0, 10]);
    }
}
