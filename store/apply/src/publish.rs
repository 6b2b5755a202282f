//! What members tell about themselves, and the cluster version they agree on.

use std::collections::HashMap;

use bytes::Bytes;
use mainstay_mvcc::Store;
use mainstay_proto::entry::{ClusterVersion, Publish};

use crate::{Attributes, Error, Outcome, View, context::Context, error::Failure, rows};

/// Published attributes of members, and the cluster version.
#[derive(Debug, Default)]
pub(crate) struct Members {
    attributes: HashMap<u64, Attributes>,
    cluster_version: Option<String>,
    changed: bool,
}

pub(crate) fn attributes(
    context: &mut Context<'_, '_, '_>,
    members: &mut Members,
    request: &Publish,
) -> Result<Outcome, Failure> {
    let (key, value) = rows::member(request);
    context.batch.put_meta(key, Some(value));
    members.insert(request.clone());
    members.changed = true;
    Ok(Outcome::Done)
}

pub(crate) fn cluster_version(
    context: &mut Context<'_, '_, '_>,
    members: &mut Members,
    request: &ClusterVersion,
) -> Result<Outcome, Failure> {
    let text = Bytes::copy_from_slice(request.version.as_bytes());
    context
        .batch
        .put_meta(Bytes::from_static(rows::CLUSTER_VERSION), Some(text));
    members.cluster_version = Some(request.version.clone());
    members.changed = true;
    Ok(Outcome::Done)
}

impl Members {
    pub(crate) fn load(store: &Store) -> Result<Members, Error> {
        let mut members = Members::default();
        for (key, value) in store.meta_scan(rows::MEMBERS)? {
            members.insert(rows::member_of(&key, value)?);
        }
        if let Some(text) = store.meta(rows::CLUSTER_VERSION)? {
            members.cluster_version = Some(rows::cluster_version_of(&text)?);
        }
        Ok(members)
    }

    /// Lets readers see it.
    pub(crate) fn show(&self, view: &View) {
        view.set_attributes(self.attributes.clone());
        view.set_cluster_version(self.cluster_version.clone());
    }

    /// Whether something changed since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn insert(&mut self, published: Publish) {
        let Publish {
            member,
            name,
            client_urls,
        } = published;
        self.attributes
            .insert(member, Attributes { name, client_urls });
    }
}
