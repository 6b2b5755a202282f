//! ConfigMaps and Secrets of a set, read when they are first named and whenever they have changed.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ObjectMeta;
use mainstay_operator_api::MainstayKeySet;
use sha2::{Digest as _, Sha256};

use super::Error;
use super::desk::{Desks, Reference};
use super::wanted::{self, Data, Kind, Source, Sources};
use crate::metrics::Object;

/// Everything that a set refers to.
pub fn references(set: &MainstayKeySet, named: &Object) -> HashSet<Reference> {
    let beside = |name: &String| Object {
        namespace: named.namespace.clone(),
        name: name.clone(),
    };
    let sources = wanted::sources(&set.spec).into_iter();
    let sources = sources.map(|source| Reference::Source(named.namespace.clone(), source));
    let users = set
        .spec
        .user
        .iter()
        .map(|user| Reference::User(beside(user)));
    let cluster = Reference::Cluster(beside(&set.spec.cluster));
    sources.chain(users).chain([cluster]).collect()
}

/// What the sources hold, and a digest of the state of the spec and of them all.
pub async fn read(
    desks: &Desks,
    set: &MainstayKeySet,
    named: &Object,
) -> Result<(Sources, String), Error> {
    let mut versions = format!("{}", set.metadata.generation.unwrap_or_default());
    let mut sources = Sources::new();
    for source in wanted::sources(&set.spec) {
        let at = Reference::Source(named.namespace.clone(), source.clone());
        let (known, epoch) = desks.data(&at);
        let data = match known {
            Some(known) => Some(known),
            None => {
                let read = one(desks, &named.namespace, &source).await?;
                if let Some(read) = &read {
                    desks.keep(&at, epoch, read.clone());
                }
                read
            }
        };
        let version = data.as_ref().map_or("none", |(_, version)| version);
        // Writing to a string does not fail.
        let _ = write!(versions, "\n{source} {version}");
        sources.insert(source, data.map(|(data, _)| data));
    }
    let digest = Sha256::digest(versions.as_bytes());
    let digest = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    Ok((sources, digest.collect()))
}

async fn one(
    desks: &Desks,
    namespace: &str,
    source: &Source,
) -> Result<Option<(Arc<Data>, String)>, Error> {
    let scope = Some(namespace);
    let (meta, data) = match source.kind {
        Kind::ConfigMap => {
            let api = desks.context.api::<ConfigMap>(scope);
            let found = api.get_opt(&source.name).await;
            let Some(found) = found.map_err(Error::api("a ConfigMap cannot be read"))? else {
                return Ok(None);
            };
            let texts = found.data.unwrap_or_default().into_iter();
            let texts = texts.map(|(key, text)| (key, Bytes::from(text)));
            let others = found.binary_data.unwrap_or_default().into_iter();
            let others = others.map(|(key, value)| (key, Bytes::from(value.0)));
            (found.metadata, texts.chain(others).collect())
        }
        Kind::Secret => {
            let api = desks.context.api::<Secret>(scope);
            let found = api.get_opt(&source.name).await;
            let Some(found) = found.map_err(Error::api("a Secret cannot be read"))? else {
                return Ok(None);
            };
            let data = found.data.unwrap_or_default().into_iter();
            let data = data.map(|(key, value)| (key, Bytes::from(value.0)));
            (found.metadata, data.collect::<Data>())
        }
    };
    Ok(Some((Arc::new(data), version(&meta))))
}

fn version(meta: &ObjectMeta) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", text(&meta.uid), text(&meta.resource_version))
}
